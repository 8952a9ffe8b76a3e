/** The steps that databases out there have gone through: not a character of one may change, whatever it is made from. */
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { replaceOnce } from "../../src/store/schema/ledger-schema.ts";
import { schemaSteps, versionFault, versionIn } from "../../src/store/schema/schema.ts";
import type { Dialect } from "../../src/store/sql/dialect.ts";

/** SHA-256 of each step's text, in order. A new step adds a line; a line that is here is never edited. */
const LANDED: Readonly<Record<Dialect, readonly string[]>> = {
  sqlite: [
    "3c39a5ffc1dcf04b57e420fa287c30e97d57487e71f35b531abab0ac2b904289",
    "74b122056b7d7853eb185ad96cf571b53468701bb71dd070ca7fa964550279b4",
    "ed0c26e8b166acbd046eca6bb7f74b60260f6a68c581cbffdfcc78c8453ac5bc",
    "1d286a237532aa943bf1d858bf49a320bc77d8d31b61c55ed1d214b163c45b40",
    "0006350c9f8974fc198fd4010f81ccce2df5413dfce3d002d59397316f630be0",
    "fe26a0637ff3b419252390b4233c2329dd11c6f9f57cc6f4f342dec189f3a189",
    "6ba2c1684d2af882a882b14233f0328a320d6fd977dee4e8fd11cd4dfc182557",
    "f3fe2fc7333531d3ccdab69aa2e47c00e3eb949ceb1a635ca82a96aa45986097",
    "d31d23a826e5a1bcadf0d907f2f0096b0c96e30b259a84d90016c417665cc695",
    "6042f1d9b591cd19f4b572423fa3dbc90fc13166ef10d5850dc75cb50560d28b",
    "9aee3b2013c93d79fce895be91cfd3b1f5b351a80e81fc3a9f62f108defad032",
    "5d2d6ffd9fabc6f9c12c830e0000e1acd3a119af2ecd81a95535c351cf96c615",
  ],
  postgres: [
    "6fabb771335dc9396c77c286e8bc1c020c64cedaab312c9bc4528d9a7f12581c",
    "aaa2776ee1d582ca761a9200e130d2f930dbee92d5a523e37cbce31fabdbb441",
    "0ef8996e1c79881726b0e3dac5a261538ee27079adf42fce188ed22cfce3e53b",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "075b14bb97fa18825b2a4dba13f90cabc190fe95ee46acbe244ab285e55adfda",
    "d31d23a826e5a1bcadf0d907f2f0096b0c96e30b259a84d90016c417665cc695",
    "6042f1d9b591cd19f4b572423fa3dbc90fc13166ef10d5850dc75cb50560d28b",
    "8414fe40175e6c58ba11c68a25f27a90a6e993094296d192db72c61b73fd514a",
    "2cad02c6e45b65d09d5690fb3a4d38c579012a79c521454d51b9a79e4fee3591",
  ],
};

describe.each(["sqlite", "postgres"] as const)("%s", (dialect) => {
  test("every step has the text that it landed with, and their number is the version", () => {
    expect(schemaSteps(dialect).map((step) => createHash("sha256").update(step).digest("hex"))).toEqual(LANDED[dialect]);
    expect(versionFault(dialect, LANDED[dialect].length)).toBeNull();
    expect(versionFault(dialect, LANDED[dialect].length + 1)).toContain("run the newer millrace");
  });
});

test("a version of one kind of database is the same version of the other for good", () => {
  expect([1, 2, 3, 4, 5, 8, 11].map((version) => versionIn("postgres", "sqlite", version))).toEqual([0, 0, 0, 1, 2, 5, 8]);
  expect([1, 2, 5, 8].map((version) => versionIn("sqlite", "postgres", version))).toEqual([4, 5, 8, 11]);
  expect([1, 4, 11].map((version) => versionIn("sqlite", "sqlite", version))).toEqual([1, 4, 11]);
  expect(() => versionIn("sqlite", "postgres", 0)).toThrow("no schema version 0");
});

test("a text in which nothing can be replaced, or more than once, makes no step", () => {
  expect(replaceOnce("a b c", "b", "x")).toBe("a x c");
  for (const text of ["a c", "b b"]) expect(() => replaceOnce(text, "b", "x")).toThrow("not once");
});
