import { describe, expect, test } from "vitest";
import { call, errorOf, MESSAGES } from "../support/call.ts";
import { DATABASES } from "../support/databases.ts";
import { relayForTest } from "../support/start-relay.ts";
import type { TestRelay } from "../support/start-relay.ts";

let relay: TestRelay;

describe.each(Object.entries(DATABASES))("on %s", (_name, newDatabase) => {
  const ask = (model: string): ReturnType<typeof call> => call(relay, { body: { model, messages: MESSAGES } });

  test("a model name with a control character is refused, and every other one reaches the books as it was sent", async () => {
    relay = await relayForTest({ upstreams: { a: {} }, database: await newDatabase() });
    for (const character of ["\0", "\u0001", "\t", "\r", "\n", "\u001b", "\u007f", "\u0085", "\u009f"]) {
      const answer = await ask(`a${character}b`);
      expect([answer.status, errorOf(answer)]).toMatchObject([400, { code: "invalid_request", param: "model" }]);
    }
    const names = ["模型 \u{1f600}", "a\u2028b", "\u00a0\u200b\u202e", "é'\"\\;--", "\ufffd\ufffe\u{10ffff}"];
    for (const name of names) expect((await ask(name)).status).toBe(404);
    await relay.row(9 + names.length);
    const rows = await relay.query("SELECT model, error_code FROM requests ORDER BY at, id");
    expect(rows.filter((row) => row["error_code"] === "invalid_request").map((row) => row["model"])).toEqual(
      Array.from({ length: 9 }, () => ""),
    );
    // Rows of one millisecond stand in no order.
    const kept = rows.filter((row) => row["error_code"] !== "invalid_request").map((row) => String(row["model"]));
    expect(kept.toSorted()).toEqual(names.toSorted());
  });
});
