/** What `scripts/house.ts` refuses, seen to be refused: planted in a checkout of its own. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "./checkout.ts";

const relay = "packages/relay/src";

/** What the check says of a checkout with these files, and its exit code. */
function checked(files: Readonly<Record<string, string>>): { readonly said: readonly string[]; readonly code: number | null } {
  const directory = mkdtempSync(join(tmpdir(), "millrace-house-"));
  try {
    for (const [file, source] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, file)), { recursive: true });
      writeFileSync(join(directory, file), source);
    }
    const { stdout, stderr, status } = spawnSync(process.execPath, [join(root, "scripts/house.ts"), directory], { encoding: "utf8" });
    expect(stderr).toBe("");
    return { said: stdout.split("\n").filter((line) => line !== ""), code: status };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function lines(count: number, line: string): string {
  return `${line}\n`.repeat(count);
}

/** A function of so many lines, its first and its last included. */
function functionOf(count: number, head = "export function act(): void {"): string {
  return `${head}\n${lines(count - 2, "  thing();")}}\n`;
}

describe("imports that go round are refused", () => {
  const way = `imports go round: ${relay}/a.ts -> ${relay}/room/b.ts -> ${relay}/a.ts`;
  const forms: readonly (readonly [claim: string, back: string])[] = [
    ["by a type", 'import type { A } from "../a.ts";\nexport type B = A;\n'],
    ["by a type in braces", 'import { type A } from "../a.ts";\nexport type B = A;\n'],
    ["by a type written in place", 'export type B = import("../a.ts").A;\n'],
    ["by a value", 'import { a } from "../a.ts";\nexport const b = a;\n'],
    ["by handing on", 'export { a } from "../a.ts";\n'],
    ["by handing everything on", 'export * from "../a.ts";\n'],
    ["at run time", 'export const b = (): Promise<unknown> => import("../a.ts");\n'],
  ];

  test.each(forms)("%s", (_claim, back) => {
    const { said, code } = checked({
      [`${relay}/a.ts`]: 'import type { B } from "./room/b.ts";\nexport type A = B;\n',
      [`${relay}/room/b.ts`]: back,
    });
    expect(said).toEqual([way]);
    expect(code).toBe(1);
  });

  test("over three files, in tests and in chaos too, and a file that imports itself", () => {
    const { said } = checked({
      "chaos/a.ts": 'import "./b.ts";\n',
      "chaos/b.ts": 'import "./c.ts";\n',
      "chaos/c.ts": 'import type { A } from "./a.ts";\nexport type C = A;\n',
      "test/self.ts": 'export * from "./self.ts";\n',
    });
    expect(said).toEqual([
      "imports go round: chaos/a.ts -> chaos/b.ts -> chaos/c.ts -> chaos/a.ts",
      "imports go round: test/self.ts -> test/self.ts",
    ]);
  });

  test("but not that two files import a third", () => {
    const third = 'import type { C } from "./c.ts";\n';
    const files = {
      [`${relay}/a.ts`]: `${third}import "./b.ts";\nexport type A = C;\n`,
      [`${relay}/b.ts`]: `${third}export type B = C;\n`,
    };
    expect(checked({ ...files, [`${relay}/c.ts`]: "export type C = 1;\n" })).toEqual({ said: [], code: 0 });
  });
});

describe("what is too large is refused:", () => {
  test("a file of 351 lines in src, and none of 350", () => {
    const files = { [`${relay}/long.ts`]: lines(351, "thing();"), [`${relay}/fits.ts`]: lines(350, "thing();") };
    expect(checked(files)).toEqual({ said: [`${relay}/long.ts: 351 lines, at most 350 are allowed`], code: 1 });
  });

  test("a function of 61 lines, however it is written, and none of 60", () => {
    const { said, code } = checked({
      "packages/wire/src/a.ts": `const x = 1;\n${functionOf(61)}${functionOf(60, "export function fits(): void {")}`,
      "packages/wire/src/b.ts": functionOf(61, "export const arrow = (): void => {"),
      "packages/wire/src/c.ts": `class Room {\n${functionOf(61, "  #live(): void {")}}\n`,
      "packages/wire/src/d.ts": functionOf(61, "export default (): void => {"),
      "packages/wire/src/small.ts": lines(9, "export function f(): void {}"),
    });
    expect(said).toEqual([
      "packages/wire/src/a.ts:2: act has 61 lines, at most 60 are allowed",
      "packages/wire/src/b.ts:1: arrow has 61 lines, at most 60 are allowed",
      "packages/wire/src/c.ts:2: #live has 61 lines, at most 60 are allowed",
      "packages/wire/src/d.ts:1: a callback has 61 lines, at most 60 are allowed",
    ]);
    expect(code).toBe(1);
  });

  test("functions whose median has 9 lines; callbacks do not lower it", () => {
    const callbacks = "export const few = [1].map((n) => n).map((n) => n);\n";
    const nine = { [`${relay}/a.ts`]: functionOf(9) + callbacks };
    expect(checked(nine)).toEqual({ said: ["the median function has 9 lines, at most 8 are allowed"], code: 1 });
    expect(checked({ [`${relay}/a.ts`]: functionOf(8) + callbacks })).toEqual({ said: [], code: 0 });
  });

  test("but a table is data, and a test may be long", () => {
    const table = `export const ROWS = [\n${lines(100, "  () => 1,")}];\n`;
    expect(checked({ [`${relay}/table.ts`]: table, "test/long.test.ts": functionOf(100) })).toEqual({ said: [], code: 0 });
  });
});

test("policy does not ask what time it is", () => {
  const files = {
    "packages/policy/src/a.ts": "export const now = (): Date => new Date();\n",
    "packages/policy/src/b.ts": "export const text = Date();\n",
    "packages/policy/src/fine.ts": "export const at = (ms: number): Date => new Date(ms);\n",
  };
  const says = "policy reads no clock; time is an argument";
  expect(checked(files)).toEqual({ said: [`packages/policy/src/a.ts:1: ${says}`, `packages/policy/src/b.ts:1: ${says}`], code: 1 });
});
