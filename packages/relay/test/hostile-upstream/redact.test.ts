import { expect, test } from "vitest";
import { Redactor } from "../../src/chat/redact.ts";

const KEY = "ab+cd/ef==gh/ij-0123456789";

test.each([
  ["as it is", KEY],
  ["with the slashes that some write into JSON", KEY.replaceAll("/", "\\/")],
  ["as part of an address", encodeURIComponent(KEY)],
])("a key %s is struck out of bytes and texts, and the bytes stay as many", (_name, written) => {
  const redactor = new Redactor([KEY]);
  const bytes = Buffer.from(`{"text":"before ${written} after"}`);
  const clean = redactor.clean(bytes);
  expect(clean.toString()).toBe(`{"text":"before ${"*".repeat(written.length)} after"}`);
  expect(redactor.holdsSecret(bytes)).toBe(true);
  expect(redactor.holdsSecret(clean)).toBe(false);
  expect(redactor.cleanText(`before ${written} after`)).toBe("before [redacted] after");
});

test("a key that begins another one leaves nothing of the other behind", () => {
  const redactor = new Redactor(["secret-0123", "secret-0123-and-more"]);
  expect(redactor.clean(Buffer.from("<secret-0123-and-more>")).toString()).toBe(`<${"*".repeat(20)}>`);
  expect(redactor.cleanText("<secret-0123-and-more>")).toBe("<[redacted]>");
});

test("bytes without a key come back as the same object", () => {
  const bytes = Buffer.from("nothing to hide");
  expect(new Redactor([KEY]).clean(bytes)).toBe(bytes);
});

test.each([
  "sk-proj-0123456789abcdef",
  "sk-abcd1234****wxyz",
  "gsk_0123456789abcdef",
  "AIzaSyA0123456789abcdefghijklmnopqrstu",
  "Bearer abcdefgh12345678",
])("what looks like some other key is struck out of texts too: %s", (key) => {
  expect(new Redactor([]).cleanText(`Incorrect API key provided: ${key}.`)).not.toContain(key.slice(0, 12));
});

test("rows keep an error's type and code when these are words, and never its message", () => {
  const redactor = new Redactor([KEY]);
  const error = { message: "the prompt", type: "server_error", code: "E42", param: null };
  expect(redactor.labelOf(error)).toBe("server_error E42");
  expect(redactor.labelOf({ ...error, type: "the prompt in many words", code: "sk-0123456789" })).toBeNull();
  expect(redactor.labelOf({ ...error, code: "server_error" })).toBe("server_error");
});
