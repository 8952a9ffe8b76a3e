import fc from "fast-check";
import { expect, test } from "vitest";
import { parseDotenv } from "../../src/config/environment/dotenv.ts";

function read(text: string): Record<string, string> {
  return { ...parseDotenv(text, ".env").variables };
}

test.each([
  ["A=1\nB=2", { A: "1", B: "2" }],
  ["A=1\r\nB=2\r\n", { A: "1", B: "2" }],
  ["\ufeffA=1", { A: "1" }],
  ["export A=1", { A: "1" }],
  ["  A = 1  ", { A: "1" }],
  ["# note\n\n   # more\nA=1", { A: "1" }],
  ["A=1 # note", { A: "1" }],
  ["A=1#2", { A: "1#2" }],
  ["A=# note", { A: "" }],
  ["A=", { A: "" }],
  ['A="x # y" # note', { A: "x # y" }],
  ["A='x \\n y'", { A: "x \\n y" }],
  ['A="x\\ny\\"z\\\\"', { A: 'x\ny"z\\' }],
  ["A=`x'\"y`", { A: "x'\"y" }],
  ["A=b=c==", { A: "b=c==" }],
  ["A=1\nA=2", { A: "2" }],
  ["__proto__=1", JSON.parse('{"__proto__":"1"}') as Record<string, string>],
])("%j", (text, variables) => {
  expect(Object.entries(read(text))).toEqual(Object.entries(variables));
});

test("each line that is wrong is named by its number and never repeated", () => {
  const { mistakes, variables } = parseDotenv('A=1\nSECRETVALUE\n\nB="SECRETVALUE\nC="x" SECRETVALUE\n1A=SECRETVALUE\nD=4', ".env");
  expect(mistakes.map(({ place }) => place)).toEqual([".env:2:1", ".env:4:1", ".env:5:1", ".env:6:1"]);
  expect(JSON.stringify(mistakes)).not.toContain("SECRETVALUE");
  expect({ ...variables }).toEqual({ A: "1", D: "4" });
});

test("any text gives a result", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => Array.isArray(parseDotenv(text, ".env").mistakes)));
});
