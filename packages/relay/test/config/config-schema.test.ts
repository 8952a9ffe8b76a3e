import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { configJsonSchema, knownKeys } from "../../src/config/file/schema.ts";

const PUBLISHED = new URL("../../../../docs/config.schema.json", import.meta.url);

test("docs/config.schema.json is what the code publishes", async () => {
  expect(JSON.parse(await readFile(PUBLISHED, "utf8"))).toEqual(configJsonSchema());
});

test("a duration may be a reference in the published schema", () => {
  expect(JSON.stringify(configJsonSchema())).toContain("(ms|s|m|h)$|\\\\$\\\\{");
});

test("known keys are found at every depth, and nowhere else", () => {
  expect(knownKeys([])).toContain("upstreams");
  expect(knownKeys(["upstreams", "sizes", "timeouts"])).toEqual(["connect", "first_event", "payload_idle", "transport_idle", "total"]);
  expect(knownKeys(["models", "m", "upstreams", 3])).toEqual(["upstream", "model"]);
  expect(knownKeys(["constructor"])).toEqual([]);
});
