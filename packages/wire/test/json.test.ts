import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { JsonEdit, JsonMember } from "@millrace/wire/json-scan";
import { editJson, findMember, JsonScanner, scanJson } from "@millrace/wire/json-scan";
import { bytesOf, cutAt, cutByFractions, cutEvery, cuts, textOf } from "./pieces.ts";

function scan(pieces: readonly Uint8Array[], limits = {}) {
  const scanner = new JsonScanner(limits);
  for (const piece of pieces) scanner.push(piece);
  const fault = scanner.end();
  const { root, members, textBytes, bigStringBytes } = scanner;
  return { fault, root, members: [...members], textBytes, bigStringBytes };
}

function faultOf(text: string | Uint8Array, limits = {}) {
  return scan([typeof text === "string" ? bytesOf(text) : text], limits).fault;
}

function membersOf(bytes: Uint8Array): readonly JsonMember[] {
  const result = scanJson(bytes);
  if (result.fault !== null) throw new Error(`not valid: ${textOf(bytes)}`);
  return result.members;
}

/** JSON.parse over strict UTF-8 is the judge of what is JSON. */
function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return true;
  } catch {
    return false;
  }
}

/** White space where JSON allows it, so that offsets are tried too. */
const space = fc.constantFrom("", "", "", " ", "\n", "\t ", "\r\n");
const safeKey = fc.oneof(
  fc.constantFrom("model", "a", "", "constructor", "prototype", "\u00e9", "\u{1f600}", 'q"q', "\\"),
  fc.string({ unit: "grapheme" }).filter((key) => key !== "__proto__"),
);

function writeValue(value: unknown, gap: string): string {
  const text = JSON.stringify(value);
  return gap + text + gap;
}

const jsonValue = fc.jsonValue({ stringUnit: "grapheme" }).filter((value) => !JSON.stringify(value).includes("__proto__"));
const members = fc.uniqueArray(fc.tuple(safeKey, jsonValue, space, space), {
  selector: ([key]) => key,
  maxLength: 8,
});
const objectText = fc.tuple(members, space).map(([entries, gap]) => {
  const texts = entries.map(([key, value, before, after]) => `${before}${JSON.stringify(key)}${after}:${writeValue(value, before)}`);
  return `${gap}{${texts.join(",")}${gap}}${gap}`;
});
const anyText = fc.oneof(
  objectText,
  fc.tuple(jsonValue, space).map(([value, gap]) => writeValue(value, gap)),
);

/** A text with some bytes changed, put in or taken out: mostly not JSON any more, sometimes still. */
const mutated = fc
  .tuple(
    anyText,
    fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        cut: fc.integer({ min: 0, max: 2 }),
        put: fc.oneof(
          fc.constantFrom(...'{}[],:"\\/ 0123456789-+.eEtrufalsn\u0000\n\u001f\u007f'),
          fc.constantFrom("\\u00", "\\ud800", "1e5", "-0", "01", "true", "nul", "\ufeff", ""),
        ),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  )
  .map(([text, changes]) => {
    let result = text;
    for (const { at, cut, put } of changes) {
      const index = Math.floor(at * result.length);
      result = result.slice(0, index) + put + result.slice(index + cut);
    }
    return result;
  });
const badBytes = fc
  .tuple(fc.uint8Array({ maxLength: 6 }), fc.boolean())
  .map(([bytes, inString]) => (inString ? new Uint8Array([0x22, ...bytes, 0x22]) : new Uint8Array(bytes)));

const EXTRA_RULES = new Set(["duplicate_key", "proto_key"]);

describe("the JSON scanner", () => {
  it("takes every JSON text", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(faultOf(text)).toBeNull();
      }),
      { numRuns: 2000 },
    );
  });

  it("agrees with JSON.parse on texts that were tampered with", () => {
    let rejected = 0;
    fc.assert(
      fc.property(mutated, (text) => {
        const fault = faultOf(text);
        if (fault !== null && EXTRA_RULES.has(fault.reason)) return;
        if (fault !== null) rejected += 1;
        expect(fault === null).toBe(isJson(bytesOf(text)));
      }),
      { numRuns: 20_000 },
    );
    expect(rejected).toBeGreaterThan(1000);
  });

  it("agrees with JSON.parse on every short sequence of a number's characters", () => {
    let texts = [""];
    for (let length = 1; length <= 6; length += 1) {
      texts = texts.flatMap((text) => [..."01-+.eE"].map((char) => text + char));
      for (const text of texts) {
        const bytes = bytesOf(`[${text}]`);
        if ((faultOf(bytes) === null) !== isJson(bytes)) expect(text).toBe("judged alike");
      }
    }
  });

  it("agrees with strict UTF-8 on every byte sequence inside a string", () => {
    fc.assert(
      fc.property(badBytes, (bytes) => {
        expect(faultOf(bytes) === null).toBe(isJson(bytes));
      }),
      { numRuns: 20_000 },
    );
    for (let lead = 0x80; lead < 0x100; lead += 1) {
      for (let next = 0x7f; next < 0x100; next += 1) {
        for (const rest of [[], [0x80], [0x80, 0x80], [0xbf, 0xbf, 0xbf]]) {
          const bytes = new Uint8Array([0x22, lead, next, ...rest, 0x22]);
          if ((faultOf(bytes) === null) !== isJson(bytes)) expect(bytes).toBe("judged alike");
        }
      }
    }
  });

  it("says the same however a text is cut", () => {
    fc.assert(
      fc.property(fc.oneof(anyText, mutated), cuts, (text, fractions) => {
        const bytes = bytesOf(text);
        const whole = scan([bytes]);
        expect(scan(cutEvery(bytes, 1))).toEqual(whole);
        expect(scan(cutByFractions(bytes, fractions))).toEqual(whole);
        for (let at = 0; at <= Math.min(bytes.length, 200); at += 1) {
          expect(scan(cutAt(bytes, [at]))).toEqual(whole);
        }
      }),
      { numRuns: 1500 },
    );
  });

  it("finds every member where its text lies", () => {
    fc.assert(
      fc.property(objectText, (text) => {
        const bytes = bytesOf(text);
        const found = membersOf(bytes);
        const entries = found.map((member) => {
          const value = textOf(bytes.subarray(member.valueStart, member.valueEnd));
          const rest = textOf(bytes.subarray(member.keyStart, member.valueStart));
          expect(JSON.parse(rest.slice(0, rest.lastIndexOf(":")))).toBe(member.key);
          expect(value).toBe(value.trim());
          expect(kindOf(value)).toBe(member.kind);
          return [member.key, JSON.parse(value)] as const;
        });
        expect(Object.fromEntries(entries)).toEqual(JSON.parse(text));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["", "unfinished", 0],
    ["  ", "unfinished", 2],
    ["{", "unfinished", 1],
    ['{"a":1', "unfinished", 6],
    ["-", "unfinished", 1],
    ["1.", "unfinished", 2],
    ["tru", "unfinished", 3],
    ["\ufeff{}", "syntax", 0],
    ["{} x", "syntax", 3],
    ["[1,]", "syntax", 3],
    ['{"a":1,}', "syntax", 7],
    ["01", "syntax", 1],
    ['"\t"', "syntax", 1],
    ['"\\x"', "syntax", 2],
    ['"\\u12g4"', "syntax", 5],
    ["{'a':1}", "syntax", 1],
    ["NaN", "syntax", 0],
    ["[1 2]", "syntax", 3],
    ["[}", "syntax", 1],
  ])("refuses %j as %s at byte %i", (text, reason, offset) => {
    expect(faultOf(text)).toEqual({ reason, offset });
  });

  it("refuses a second top-level key of the same name, however it is spelt", () => {
    const fault = { reason: "duplicate_key", offset: 11, key: "model" };
    expect(faultOf('{"model":1,"model":2}')).toEqual(fault);
    expect(faultOf('{"model":1,"\\u006dodel":2}')).toEqual(fault);
    expect(faultOf('{"m":{"a":1,"a":2}}')).toBeNull();
    expect(faultOf('{"a":1,"A":2,"\\\\u0061":3}')).toBeNull();
  });

  it("refuses __proto__ at any depth, however it is spelt, and no key like it", () => {
    const escaped = [...("__proto__" as const)].map((char) => `\\u00${char.charCodeAt(0).toString(16)}`);
    for (const key of ["__proto__", "\\u005f_proto__", escaped.join("")]) {
      const fault = { reason: "proto_key", key: "__proto__" };
      expect(faultOf(`{"${key}":1}`)).toEqual({ ...fault, offset: 1 });
      expect(faultOf(`[{"a":{"${key}":1}}]`)).toEqual({ ...fault, offset: 7 });
    }
    expect(faultOf('{"constructor":1,"prototype":2,"__proto":3,"__proto___":4}')).toBeNull();
    expect(faultOf('["__proto__",{"a":"__proto__"}]')).toBeNull();
  });

  it("allows depth and items up to their limits and not one more", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(faultOf(nested(64))).toBeNull();
    expect(faultOf(nested(65))).toEqual({ reason: "depth", offset: 64 });
    expect(faultOf('{"a":[1,{"b":2}]}', { itemsMax: 4 })).toBeNull();
    expect(faultOf('{"a":[1,{"b":2}]}', { itemsMax: 3 })).toEqual({ reason: "items", offset: 9 });
    expect(faultOf(`[${"1,".repeat(49_999)}1]`)).toBeNull();
    expect(faultOf(`[${"1,".repeat(50_000)}1]`)).toMatchObject({ reason: "items" });
  });

  it("counts the text of string values, and data URLs apart", () => {
    const text = '{"key":"four","n":["\\n","data:12345"],"u":"\u00e9","d":"data","e":"data:"}';
    const { textBytes, bigStringBytes } = scan([bytesOf(text)]);
    expect({ textBytes, bigStringBytes }).toEqual({ textBytes: 4 + 2 + 2 + 4, bigStringBytes: 15 });
  });

  it("keeps its first fault, and knows the root before the end", () => {
    const scanner = new JsonScanner();
    expect(scanner.push(bytesOf("["))).toBeNull();
    expect(scanner.root).toBe("array");
    const fault = { reason: "syntax", offset: 1 };
    expect(scanner.push(bytesOf("}"))).toEqual(fault);
    expect(scanner.push(bytesOf("]"))).toEqual(fault);
    expect(scanner.end()).toEqual(fault);
  });

  it("takes a key of 1 MiB that comes byte by byte without slowing down", () => {
    const scanner = new JsonScanner();
    const letter = bytesOf("k");
    const begun = performance.now();
    scanner.push(bytesOf('{"'));
    for (let i = 0; i < 1024 * 1024; i += 1) scanner.push(letter);
    scanner.push(bytesOf('":1}'));
    expect(scanner.end()).toBeNull();
    expect(scanner.members[0]?.key.length).toBe(1024 * 1024);
    expect(performance.now() - begun).toBeLessThan(2000);
  });
});

function kindOf(text: string): string {
  const value: unknown = JSON.parse(text);
  if (value === null || typeof value === "boolean") return String(value);
  return Array.isArray(value) ? "array" : typeof value;
}

const edits = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("set" as const),
      key: safeKey,
      json: jsonValue.map((v) => JSON.stringify(v)),
    }),
    fc.record({ kind: fc.constant("remove" as const), key: safeKey }),
  ),
  { maxLength: 5 },
);

function applyEdits(value: Record<string, unknown>, list: readonly JsonEdit[]) {
  const entries = new Map(Object.entries(value));
  for (const edit of list) {
    if (edit.kind === "remove") entries.delete(edit.key);
    else entries.set(edit.key, JSON.parse(edit.json));
  }
  return Object.fromEntries(entries);
}

describe("editing members", () => {
  it("gives the object with the edits applied", () => {
    fc.assert(
      fc.property(objectText, edits, fc.infiniteStream(fc.nat()), (text, list, picks) => {
        const bytes = bytesOf(text);
        const found = membersOf(bytes);
        // Half of the edits are aimed at keys that are there, or next to nothing would be replaced.
        const aimed = list.map((edit) => {
          const pick = picks.next().value ?? 0;
          const target = found[pick % (found.length * 2 + 1)];
          return target === undefined ? edit : { ...edit, key: target.key };
        });
        const edited = editJson(bytes, found, aimed);
        expect(JSON.parse(textOf(edited))).toEqual(applyEdits(JSON.parse(text), aimed));
        expect(scanJson(edited).fault).toBeNull();
      }),
      { numRuns: 5000 },
    );
  });

  it.each<[string, JsonEdit[], string]>([
    ['{ "a" : 1 , "b":2 }', [{ kind: "set", key: "a", json: "9" }], '{ "a" : 9 , "b":2 }'],
    ['{ "a" : 1 , "b":2 }', [{ kind: "set", key: "c", json: "[3]" }], '{ "a" : 1 , "b":2,"c":[3] }'],
    ['{"a":1, "b":2, "c":3}', [{ kind: "remove", key: "a" }], '{"b":2, "c":3}'],
    ['{"a":1, "b":2, "c":3}', [{ kind: "remove", key: "b" }], '{"a":1, "c":3}'],
    ['{"a":1, "b":2, "c":3 }', [{ kind: "remove", key: "c" }], '{"a":1, "b":2 }'],
    [" {} ", [{ kind: "set", key: "a", json: "1" }], ' {"a":1} '],
    ['{"n":1.0e2,"u":"\\u0061"}', [{ kind: "remove", key: "x" }], '{"n":1.0e2,"u":"\\u0061"}'],
  ])("turns %s by %j into %s", (text, list, result) => {
    const bytes = bytesOf(text);
    expect(textOf(editJson(bytes, membersOf(bytes), list))).toBe(result);
  });
});

describe("finding a member", () => {
  it("agrees with JSON.parse on what is there and what is not", () => {
    fc.assert(
      fc.property(objectText, safeKey, (text, otherKey) => {
        const bytes = bytesOf(text);
        const value = JSON.parse(text) as Record<string, unknown>;
        for (const key of [...Object.keys(value), otherKey]) {
          const range = findMember(bytes, key);
          expect(range !== null).toBe(Object.hasOwn(value, key));
          if (range === null) continue;
          expect(JSON.parse(textOf(bytes.subarray(range.start, range.end)))).toEqual(value[key]);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it("reads an escaped spelling of the key, and does not look into nested values", () => {
    expect(findMember(bytesOf('{"\\u006dodel":"x"}'), "model")).toEqual({ start: 14, end: 17 });
    expect(findMember(bytesOf('{"a":{"error":1},"b":["error",{"error":2}]}'), "error")).toBeNull();
  });

  it("ends on any bytes, JSON or not", () => {
    fc.assert(
      fc.property(fc.oneof(mutated.map(bytesOf), fc.uint8Array()), (bytes) => {
        const range = findMember(bytes, "model");
        expect(range === null || (range.start < range.end && range.end <= bytes.length)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});

describe("the time of a scan", () => {
  const size = 16 * 1024 * 1024;
  const body = (content: string) => bytesOf(`{"messages":[{"role":"user","content":"${content}"}]}`);
  it.each([
    ["plain text", body("Plain words of a prompt. ".repeat(size / 25))],
    ["a data URL", body(`data:image/png;base64,${"iVBORw0KGgoAAAAN".repeat(size / 16)}`)],
    ["escapes", body('line\\n\\"said\\" \\u00e9 '.repeat(size / 24))],
    ["Chinese", body("\u6d41\u5f0f\u4e2d\u7ee7".repeat(size / 12))],
    ["white space", bytesOf(`{"a":${" ".repeat(size)}1}`)],
  ])("16 MiB of %s takes a moment, in pieces of 64 KiB", (_what, bytes) => {
    const pieces = cutEvery(bytes, 64 * 1024);
    const begun = performance.now();
    const scanner = new JsonScanner();
    for (const piece of pieces) scanner.push(piece);
    expect(scanner.end()).toBeNull();
    // Run directly it is 10 to 50 ms; the room is for the test runner's module wrappers and a busy machine.
    expect(performance.now() - begun).toBeLessThan(1000);
  });
});
