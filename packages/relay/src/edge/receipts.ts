/** `GET /v1/requests/{id}`: an account's own view of one of its requests. */
import { relayError } from "../chat/relay-error.ts";
import { shownReceipt } from "../insight/receipt.ts";
import type { RequestFiles } from "../insight/request-file.ts";
import { sendVisited, turnAway } from "./visit.ts";
import type { Visit } from "./visit.ts";

export async function sendReceipt(visit: Visit, files: RequestFiles, accountId: string, id: string): Promise<void> {
  const file = await files.requestFile(id, accountId).catch(() => "unavailable" as const);
  if (file === "unavailable") return turnAway(visit, relayError("store_unavailable", "The store does not answer.", { retryAfterS: 5 }));
  if (file === null) return turnAway(visit, relayError("request_unknown", `This account has no request ${id}.`));
  sendVisited(visit, shownReceipt(id, file));
}
