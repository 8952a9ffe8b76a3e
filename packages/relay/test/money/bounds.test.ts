import { describe, expect, test } from "vitest";
import { errorOf, MESSAGES, readStream } from "../support/call.ts";
import { DOLLAR, Shop } from "./shop.ts";

let shop: Shop;

/** Two dollars for a thousand tokens of output. */
const OUTPUT_NANOS = 2_000_000n;

async function heldFor(body: object, path = "/v1/chat/completions"): Promise<bigint> {
  const id = (await shop.ask(body, { path })).headers["x-request-id"];
  return BigInt(String((await shop.hold(id))["amount"]));
}

describe("a hold is for the most that can be billed", () => {
  const chat = { model: "m", messages: MESSAGES };
  const text = { model: "m", prompt: "a", max_tokens: 100 };
  test.each([
    ["the larger one of two maxima", { ...chat, max_completion_tokens: 1, max_tokens: 600 }, "/v1/chat/completions", 600],
    ["the one that is a number", { ...chat, max_completion_tokens: null, max_tokens: 600 }, "/v1/chat/completions", 600],
    ["every choice", { ...chat, max_tokens: 100, n: 3 }, "/v1/chat/completions", 300],
    ["every prompt of a list", { ...text, prompt: ["a", "b", "c"] }, "/v1/completions", 300],
    ["every prompt of token ids", { ...text, prompt: [[1, 2], [3]] }, "/v1/completions", 200],
    ["one prompt of token ids", { ...text, prompt: [1, 2, 3] }, "/v1/completions", 100],
    ["every answer that the best is chosen of", { ...text, best_of: 5 }, "/v1/completions", 500],
    ["all of it together", { ...text, prompt: ["a", "b"], n: 2, best_of: 4 }, "/v1/completions", 800],
  ])("%s", async (_name, body, path, tokens) => {
    shop = await Shop.open("500.00", { text: "x" });
    const one = { ...body, n: 1, best_of: 1, max_tokens: 0, max_completion_tokens: 0, ...("prompt" in body ? { prompt: "a" } : {}) };
    const difference = (await heldFor(body, path)) - (await heldFor(one, path));
    // What is left is the prompt, which is a few bytes longer or shorter.
    expect(difference).toBeGreaterThan(BigInt(tokens) * OUTPUT_NANOS - 20_000_000n);
    expect(difference).toBeLessThan(BigInt(tokens) * OUTPUT_NANOS + 30_000_000n);
  });

  test("where nobody says a maximum, the model's own", async () => {
    shop = await Shop.open("500.00", { text: "x" }, { outputTokensMax: 1_000 });
    expect(await heldFor(chat)).toBeLessThan(1_100n * OUTPUT_NANOS);
  });
});

test("a stream without a maximum that outgrows its hold goes on while there is credit, and no further", async () => {
  const words = 12_000;
  shop = await Shop.open("500.00", { events: words, tokens: { prompt: 10, completion: words } });
  expect(readStream(await shop.ask({ model: "m", stream: true, messages: MESSAGES })).outcome).toBe("complete");
  const row = await shop.relay.row();
  expect(row).toMatchObject({ basis: "exact", charge_nanos: Number(10n * 1_000_000n + BigInt(words) * OUTPUT_NANOS) });
  expect((await shop.hold(row["id"]))["written_off"]).toBe(0n);
  await shop.close();

  shop = await Shop.open("17.00", { fault: { kind: "endless-stream" }, ratePerSecond: 5_000 });
  const answer = await shop.ask({ model: "m", stream: true, messages: MESSAGES });
  expect([errorOf(answer).code, answer.isWhole]).toEqual(["insufficient_credits", false]);
  const cut = await shop.relay.row();
  expect((await shop.hold(cut["id"]))["written_off"]).toBe(0n);
  expect(BigInt((await shop.balance()).balance_nanos)).toBe(17n * DOLLAR - BigInt(String(cut["charge_nanos"])));
});

test("where the upstream counts as it goes its count decides what is covered, and not ours", async () => {
  const text = Array.from({ length: 1_500 }, (_, i) => `word${i % 10}`).join(" ");
  shop = await Shop.open(
    "4.40",
    { text, chunking: "whole", usage: "every-chunk", tokens: { prompt: 10, completion: 1_500 } },
    { hold: "sliding" },
  );
  const answer = await shop.ask({ model: "m", stream: true, messages: MESSAGES });
  expect(readStream(answer).outcome).toBe("complete");
  expect(await shop.relay.row()).toMatchObject({ basis: "exact", charge_nanos: 10 * 1_000_000 + 1_500 * 2_000_000 });
});

test("what was not delivered is not charged", async () => {
  const text = Array.from({ length: 4_000 }, (_, i) => `word${i % 10}`).join(" ");
  shop = await Shop.open("4.40", { text, chunking: "whole", usage: "never" }, { hold: "sliding" });
  const answer = await shop.ask({ model: "m", stream: true, messages: MESSAGES });
  expect([answer.status, errorOf(answer).code]).toEqual([402, "insufficient_credits"]);
  expect(await shop.rowWhere("end_reason = 'insufficient_credits'")).toMatchObject({ basis: "none", charge_nanos: 0n });
  expect(await shop.balance()).toMatchObject({ balance_nanos: String((44n * DOLLAR) / 10n), held_nanos: "0" });
});

test.each(["full", "sliding"] as const)("[DONE] without a finish reason ends a stream that waits for money, too (%s)", async (hold) => {
  const text = Array.from({ length: 1_200 }, (_, i) => `word${i % 10}`).join(" ");
  shop = await Shop.open("500.00", { text, chunking: "whole", finishReason: null, usage: "never" }, { hold });
  const answer = await shop.ask({ model: "m", stream: true, messages: MESSAGES });
  expect(answer.body.endsWith("data: [DONE]\n\n")).toBe(true);
  expect(await shop.relay.row()).toMatchObject({ end_reason: "complete", marks: "missing_finish_reason,unpriced" });
});
