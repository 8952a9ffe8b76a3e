import { type BilledUsage, costOf, type TokenKind } from "@millrace/policy/price";
import { formatUsd } from "@millrace/wire/money";
import { describe, expect, test } from "vitest";
import { quoted, section, tableRows, textOf } from "../../../../test/house/checkout.ts";
import { calendarNames } from "@millrace/policy/calendar";
import { priceFor } from "../../src/prices/book.ts";
import { tableRows as priceRows } from "../../src/prices/table.ts";
import { fileConfig, fileMistakes } from "../config/files.ts";

const text = textOf("docs/prices.md");

describe("docs/prices.md", () => {
  test("works its example as the code does", () => {
    const config = fileConfig('upstreams: { deepseek: { api_key: "${DEEPSEEK_API_KEY}" } }\nprices: { markup: "1.25" }');
    const model = { name: "m", routes: [{ upstream: "deepseek", model: "deepseek-flash" }] };
    const price = priceFor(config.prices, model, Date.parse("2026-11-20T02:00:00Z"));
    const usage: BilledUsage = { input: 12_000, cachedInput: 7999, cacheWrite: 0, output: 1500, reasoning: 900 };
    const cost = price === null ? null : costOf(price, usage);
    const example = section(text, "## A worked example");
    const number = (value: bigint): string => value.toLocaleString("en-US");
    const meant = cost?.parts.map((part) => [`\`${part.kind}\``, number(part.tokens), number(part.price), number(part.exactAtto)]);
    expect(tableRows(example)).toEqual(meant);
    if (cost === null) return;
    for (const said of [number(cost.exactAtto), `${number(cost.chargeNanos)} nano-USD`, `$${formatUsd(cost.chargeNanos)}`])
      expect(example.replaceAll("\n", " ")).toContain(said);
  });

  test("names every kind of token, every column of the table and every calendar", () => {
    const kinds: Record<TokenKind, true> = {
      input: true,
      cachedInput: true,
      cacheWrite5m: true,
      cacheWrite1h: true,
      output: true,
      reasoning: true,
    };
    const cells = (heading: string): string[] => tableRows(section(text, heading)).flatMap(([cell]) => quoted(cell ?? ""));
    expect(cells("## The formula").toSorted()).toEqual(Object.keys(kinds).toSorted());
    const columns = new Set(priceRows().flatMap((row) => Object.keys(row).filter((key) => key !== "readFrom")));
    expect(cells("## The shipped table").toSorted()).toEqual([...columns].toSorted());
    for (const name of calendarNames()) expect(text).toContain(`\`${name}\``);
  });

  test("shows a configuration that is right", () => {
    const yaml = /```yaml\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
    expect(fileMistakes(yaml.replace("SPARE_API_KEY", "HOLYSHEEP_API_KEY"))).toEqual([]);
  });
});
