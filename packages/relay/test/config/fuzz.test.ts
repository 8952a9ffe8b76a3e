/** Whatever is written, there is a result; and whatever is secret stays out of it. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { configFromEnvironment } from "../../src/config/environment/from-environment.ts";
import { readConfigFile } from "../../src/config/file/from-file.ts";
import { newNotes } from "../../src/config/notes.ts";

const SECRET = "sk-S3CRETvalueX9-0123456789";

const KEYS = [
  "listen",
  "database",
  "state",
  "data",
  "upstreams",
  "models",
  "sizes",
  "shutdown",
  "log",
  "level",
  "request",
  "drain",
  "delay",
  "provider",
  "base_url",
  "api_key",
  "timeouts",
  "connect",
  "max_in_flight",
  "on_disconnect",
  "for",
  "max_bytes",
  "upstream",
  "model",
  "price",
  "prices",
  "costs",
  "markup",
  "import",
  "input",
  "cached_input",
  "output",
  "bands",
  "windows",
  "utc",
  "times",
  "__proto__",
  "constructor",
  "toString",
  "a",
  "deepseek",
  "",
];

const VALUES = [
  "deepseek",
  "openai-compatible",
  "abort",
  "5s",
  "1MiB",
  "sqlite:x",
  "memory",
  "http://127.0.0.1:1",
  "${A}",
  "${",
  "$${",
  "off",
  SECRET,
  `Bearer ${SECRET}`,
  `${SECRET} ${SECRET}`,
  `https://u:${SECRET}@h`,
  `https://h?${SECRET}`,
  `\${${SECRET}}`,
  `redis://:${SECRET}@h`,
];

const leaf = fc.oneof(fc.constantFrom<unknown>(...VALUES, null, true, 0, -1, 1.5, 8787, Number.NaN), fc.string({ maxLength: 12 }));

const tree = fc.letrec<{ node: unknown }>((tie) => ({
  node: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    leaf,
    fc.array(tie("node"), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom(...KEYS), tie("node"), { maxKeys: 6, noNullPrototype: true }),
  ),
})).node;

const entry = fc.dictionary(fc.constantFrom(...KEYS.slice(13, 24)), leaf, {
  noNullPrototype: true,
});

const nearlyRight = fc.record({
  upstreams: fc.dictionary(fc.constantFrom("a", "b"), entry, { noNullPrototype: true }),
  log: leaf,
  models: tree,
});

function sayings(text: string): string {
  const notes = newNotes();
  const reading = readConfigFile(text, "f", { A: "x" }, notes);
  expect(reading === null).toBe(notes.mistakes.length > 0);
  for (const { place, message } of notes.mistakes) {
    expect(place).toMatch(/^f:[1-9]\d*:[1-9]\d*$/);
    expect(message).toMatch(/[.?]$/);
  }
  return JSON.stringify(notes);
}

describe("any file", () => {
  test.each([
    ["of random shape", tree],
    ["that is nearly right", nearlyRight],
  ])("%s gives a result with places and without secrets", (_, data) => {
    fc.assert(
      fc.property(data, fc.boolean(), (value, isJson) => {
        const text = isJson ? JSON.stringify(value) : stringify(value);
        expect(sayings(text)).not.toContain(SECRET);
      }),
      { numRuns: 500 },
    );
  });

  test("that is broken in the middle of a line gives a result without secrets", () => {
    const text = `listen: 127.0.0.1:1\nupstreams:\n  a: { api_key: "${SECRET}", base_url: 'https://u:${SECRET}@h' }\n  b: [${SECRET}, {x: ${SECRET}}]\n`;
    const noise = fc.constantFrom(..."{}[],:&*!|>%@`\"'#-? \n\t\u0000");
    fc.assert(
      fc.property(fc.nat(text.length), fc.array(noise, { maxLength: 3 }), fc.boolean(), (at, marks, isCut) => {
        const broken = text.slice(0, at) + marks.join("") + (isCut ? "" : text.slice(at));
        const said = sayings(broken);
        expect(said).not.toContain(SECRET);
      }),
      { numRuns: 1000 },
    );
  });

  test("of random characters gives a result", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => sayings(text).length > 0),
      { numRuns: 500 },
    );
  });
});

describe("any environment", () => {
  const names = [
    "DEEPSEEK_API_KEY",
    "DEEPSEEK_BASE_URL",
    "A_BASE_URL",
    "A_API_KEY",
    "FALLBACK_BASE_URL",
    "FALLBACK_API_KEY",
    "VLLM_BASE_URL",
    "ACTIVE_PROVIDER",
    "ENABLE_DEEPSEEK",
    "MILLRACE_PORT",
    "MILLRACE_KEY",
    "MILLRACE_ADMIN_TOKEN",
    "MILLRACE_DATABASE_URL",
    "MILLRACE_X",
  ];

  test("gives a result, and its sentences hold no secret", () => {
    const value = fc.oneof(fc.constantFrom(...VALUES, "false", "true", "a"), fc.string({ unit: "binary", maxLength: 40 }));
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), value), (variables) => {
        const result = configFromEnvironment(variables);
        const said = JSON.stringify(result.ok ? result.config.warnings : result.mistakes);
        expect(said.toLowerCase()).not.toContain(SECRET.toLowerCase());
      }),
      { numRuns: 3000 },
    );
  });
});
