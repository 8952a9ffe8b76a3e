/** Ids of price versions. An id names what is priced, since when, and a digest of the content, so that a different price has a different id. */
import { createHash } from "node:crypto";
import type { PriceVersion } from "@millrace/policy/price";
import { priceToJson } from "@millrace/policy/price-json";

const DIGEST_CHARS = 12;

/**
 * Names a version, e.g. `deepseek/deepseek-flash@2026-09-10T00:00:00Z#1f0c6d5e7a21`. Equal content for the same thing has the same id
 * in every process.
 */
export function withId(scope: string, price: Omit<PriceVersion, "id">): PriceVersion {
  const text = JSON.stringify(priceToJson({ ...price, id: scope }));
  const digest = createHash("sha256").update(text).digest("hex").slice(0, DIGEST_CHARS);
  const since = new Date(price.effectiveFromMs).toISOString().replace(".000Z", "Z");
  return { ...price, id: `${scope}@${since}#${digest}` };
}
