/** Usage exports as providers write them, and as they arrive when something went wrong on the way. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readDay } from "../src/usage-day.ts";
import { readUsageExport } from "../src/usage-export.ts";
import type { UsageExport } from "../src/usage-export.ts";

function good(text: string): UsageExport {
  const read = readUsageExport(text);
  if ("fault" in read) throw new Error(read.fault);
  return read;
}

function faultOf(text: string): string {
  const read = readUsageExport(text);
  if (!("fault" in read)) throw new Error("was understood");
  return read.fault;
}

/** `day model input cachedInput cacheWrite output` of each line. */
function linesOf(text: string): string[] {
  return good(text).lines.map(({ day, model, tokens }) => [day, model, ...Object.values(tokens)].join(" "));
}

describe("a form that is read", () => {
  test("the buckets of a usage API, pages one document a line, times as Unix seconds", () => {
    const result = (model: string, input: number, cached: number, output: number): object => ({
      object: "organization.usage.completions.result",
      input_tokens: input,
      input_uncached_tokens: input - cached,
      input_cached_tokens: cached,
      output_tokens: output,
      num_model_requests: 5,
      project_id: null,
      model,
    });
    const page = (start: number, results: object[], has_more: boolean): string =>
      JSON.stringify({ object: "page", data: [{ object: "bucket", start_time: start, end_time: start + 86_400, results }], has_more });
    const first = page(1793491200, [result("gpt-4o-2024-08-06", 1000, 800, 500), result("gpt-4o-mini", 1, 0, 2)], true);
    const last = page(1793577600, [result("gpt-4o-2024-08-06", 7, 0, 9), result("gpt-4o-2024-08-06", 3, 1, 1)], false);
    expect(linesOf(`${first}\n${last}\n`)).toEqual([
      "2026-11-01 gpt-4o-2024-08-06 1000 800 0 500",
      "2026-11-01 gpt-4o-mini 1 0 0 2",
      "2026-11-02 gpt-4o-2024-08-06 10 1 0 10",
    ]);
    expect(good(last)).toMatchObject({ counts: ["input", "cachedInput", "output"], hasCost: false, notes: [] });
    expect(faultOf(first)).toBe("is one page of several (has_more): put all pages into it, one JSON document a line");
  });

  test("one row for each kind of tokens, in CSV, of several keys", () => {
    const text = [
      "user_id,utc_date,model,api_key_name,api_key,type,price,amount",
      'u,20261101,deepseek-flash,"one, two",sk-a,input_cache_hit_tokens,0.0000001,1000',
      "u,2026-11-01,deepseek-flash,b,sk-b,input_cache_hit_tokens,0.0000001,24",
      "u,2026-11-01,deepseek-flash,b,sk-b,input_cache_miss_tokens,0.0000005,500",
      "u,2026-11-01,deepseek-flash,b,sk-b,output_tokens,0.000002,300",
      "u,2026-11-01,deepseek-flash,b,sk-b,request_count,,12",
    ].join("\n");
    expect(linesOf(text)).toEqual(["2026-11-01 deepseek-flash 1524 1024 0 300"]);
    expect(good(text)).toMatchObject({ counts: ["input", "cachedInput", "output"], hasCost: false, notes: [] });
    expect(good(`${text}\nu,2026-11-01,deepseek-flash,b,sk-b,image_tokens,0,1`).notes).toEqual([
      "rows of the type image_tokens are not compared",
    ]);
  });

  test("what rows of one kind should tell and do not is nothing, so that the beginning of a file is not taken for all of it", () => {
    const read = good("date,model,type,amount\n2026-11-01,m,request_count,3\n");
    expect(read.counts).toEqual(["input", "output"]);
    expect(read.lines).toMatchObject([{ tokens: { input: 0n, output: 0n } }]);
  });

  test("the same with the times of each row, when those are days of UTC", () => {
    const text = (from: string, to: string): string =>
      `start_time_iso,end_time_iso,model,type,price,amount\n${from},${to},m,output_tokens,0.1,7\n`;
    expect(linesOf(text("2026-11-02T00:00:00Z", "2026-11-03T00:00:00+00:00"))).toEqual(["2026-11-02 m 0 0 0 7"]);
    expect(linesOf(text("2026-11-02T07:00:00+08:00", "2026-11-02T08:00:00+08:00"))).toEqual(["2026-11-01 m 0 0 0 7"]);
    expect(faultOf(text("2026-11-02T00:00:00+08:00", "2026-11-03T00:00:00+08:00"))).toBe(
      "is about more than one UTC day (from 2026-11-02T00:00:00+08:00): export it by UTC days, or by hours (line 2)",
    );
  });

  test("a console's CSV with what came from a cache, and what was written to one, beside the input", () => {
    const head =
      "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count";
    const text = `\uFEFF${head}\r\n2026-11-01,claude-x,k,Default,standard,\u2264 200k,100,20,5,3000,40,0\r\n`;
    expect(linesOf(text)).toEqual(["2026-11-01 claude-x 3125 3000 25 40"]);
    expect(good(text).counts).toEqual(["input", "cachedInput", "cacheWrite", "output"]);
  });

  test("the same as JSON, with objects in objects", () => {
    const results = [
      {
        uncached_input_tokens: 100,
        cache_creation: { ephemeral_1h_input_tokens: 5, ephemeral_5m_input_tokens: 20 },
        cache_read_input_tokens: 3000,
        output_tokens: 40,
        server_tool_use: { web_search_requests: 1 },
        model: "claude-x",
        service_tier: "standard",
      },
    ];
    const data = [{ starting_at: "2026-11-01T00:00:00Z", ending_at: "2026-11-02T00:00:00Z", results }];
    expect(linesOf(JSON.stringify({ data, has_more: false, next_page: null }, null, 2))).toEqual(["2026-11-01 claude-x 3125 3000 25 40"]);
  });

  test("a plain table, by semicolons, with costs that are exact", () => {
    const text = `Date;Model;Input Tokens;Cached Input Tokens;Output Tokens;Cost;Region\n2026-11-01;m;10;2;3;0.1;"a ""b"";\nc"\n\n2026-11-01;m;1.0;;0;0.2000000000000000001;\n`;
    expect(linesOf(text)).toEqual(["2026-11-01 m 11 2 0 3"]);
    expect(good(text)).toMatchObject({ hasCost: true, counts: ["input", "cachedInput", "output"] });
    expect(good(text).lines[0]?.costAtto).toBe(300_000_000_000_000_000n);
  });

  test("JSON numbers stay what was written, beyond what a float holds", () => {
    const text =
      '[{"date":"2026-11-01","model":"m","output_tokens":90071992547409931,"cost":0.1},{"date":"2026-11-01","model":"m","cost":2e-1}]';
    expect(good(text).lines).toEqual([
      {
        day: "2026-11-01",
        model: "m",
        tokens: { input: 0n, cachedInput: 0n, cacheWrite: 0n, output: 90_071_992_547_409_931n },
        costAtto: 300_000_000_000_000_000n,
      },
    ]);
  });

  test("a cost in another currency is left out, and that is said", () => {
    const read = good("date,model,output_tokens,cost,currency\n2026-11-01,m,1,0.5,CNY\n");
    expect(read.hasCost).toBe(false);
    expect(read.notes).toEqual(["the file's cost is in CNY, not USD: it is not compared"]);
    expect(good("date,model,output_tokens,cost,currency\n2026-11-01,m,1,0.5,usd\n").hasCost).toBe(true);
  });
});

describe("a file that is refused", () => {
  const HEAD = "date,model,input_tokens,output_tokens";

  test.each([
    ["", "is empty"],
    ["\uFEFF \r\n", "is empty"],
    [`${HEAD}\n`, "has no rows"],
    ["[]", "has no rows"],
    ['{"data":[{"start_time":1793491200,"results":[]}],"has_more":false}', "has no rows"],
    [`${HEAD},output_tokens\n2026-11-01,m,1,2,3\n`, "has two columns named output_tokens"],
    [`${HEAD},Output-Tokens\n2026-11-01,m,1,2,3\n`, "has two columns named output_tokens"],
    [`${HEAD}\n2026-11-01,m,1\n`, "has 3 fields in line 2 where its head has 4: is it cut or garbled?"],
    [`${HEAD}\n2026-11-01,"m,1,2\n`, "has a quoted field without an end: is it cut? (line 2)"],
    [`${HEAD}\n2026-11-01,"m"x,1,2\n`, "has text right behind a quoted field (line 2)"],
    [`${HEAD}\n2026-11-01,m"x,1,2\n`, "has a quotation mark within a field that is not quoted (line 2)"],
    [`${HEAD}\n2026-11-01,m,1,"1,234"\n`, "has no whole number as output_tokens: 1,234 (line 2)"],
    [`${HEAD}\n2026-11-01,m,1,-2\n`, "has no whole number as output_tokens: -2 (line 2)"],
    [`${HEAD}\n2026-11-01,m,1,2.5\n`, "has no whole number as output_tokens: 2.5 (line 2)"],
    [`${HEAD},cost\n2026-11-01,m,1,2,"0,5"\n`, "has no decimal number as its cost: 0,5 (line 2)"],
    [`${HEAD}\n2026-02-30,m,1,2\n`, "has no date or time that is known: 2026-02-30 (line 2)"],
    [`${HEAD}\nTotal,m,1,2\n`, "has no date or time that is known: Total (line 2)"],
    [`${HEAD}\n2026-11-01,,1,2\n`, "has tokens of no model: ask for the usage by model (line 2)"],
    [`${HEAD},cached_tokens\n2026-11-01,m,1,2,3\n`, /^has an input that is smaller than its cached part: .*\(2026-11-01, m\)$/],
    [
      "date,model,input_tokens,uncached_input_tokens,cached_tokens\n2026-11-01,m,100,5,5\n",
      "has an input that is not the sum of its parts (2026-11-01, m)",
    ],
    ['{"date":"2026-11-01","model":"m"', "is not valid JSON: is it cut?"],
    ['{"date":"2026-11-01","model":"m","output_tokens":1}\n{"date"', "is not valid JSON (line 2): is it cut?"],
    ['[[[[[[[[{"date":"2026-11-01","model":"m","output_tokens":1}]]]]]]]]', "has lists more than 6 deep"],
  ])("%j", (text, fault) => {
    expect(faultOf(text)).toEqual(typeof fault === "string" ? fault : (expect.stringMatching(fault) as string));
  });

  test("its names are told, with those that would do", () => {
    const fault = faultOf("when,engine,tokens_out,Cost (USD)\n2026-11-01,m,1,2\n");
    expect(fault).toMatch(
      /^has the columns when, engine, tokens_out, cost_usd, of which none tells the day \(one of date, day, utc_date, /,
    );
    expect(fault).toMatch(/, nor the model \(one of model, .*\), nor the tokens \(one of input_tokens, .*, or type with amount\)$/);
    expect(faultOf("date,model,uncached_input_tokens\n2026-11-01,m,1\n")).toContain("none tells what was read from a cache");
  });
});

describe("any export", () => {
  const rows = fc.array(
    fc.record({
      day: fc.integer({ min: 1, max: 28 }),
      model: fc.string({ minLength: 1, maxLength: 12, unit: fc.constantFrom("a", "b", ",", ";", '"', "\n", "\r", " ", "\u00e9", "=") }),
      input: fc.nat(1e9),
      cached: fc.nat(1e9),
      output: fc.nat(1e9),
    }),
    { minLength: 1, maxLength: 8 },
  );
  const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;

  test("means the same in every spelling", () => {
    fc.assert(
      fc.property(rows, fc.constantFrom(",", ";", "\t"), fc.constantFrom("\n", "\r\n"), (given, separator, end) => {
        const list = given
          .map((row) => ({ ...row, model: row.model.trim(), input: row.input + row.cached }))
          .filter((row) => row.model !== "");
        fc.pre(list.length > 0);
        const objects = list.map(({ day, model, input, cached, output }) => ({
          date: `2026-11-${String(day).padStart(2, "0")}`,
          model,
          input_tokens: input,
          cached_tokens: cached,
          output_tokens: output,
        }));
        const head = Object.keys(objects[0] ?? {});
        const csv = [head, ...objects.map((row) => Object.values(row).map(String))]
          .map((fields) => fields.map(quoted).join(separator) + end)
          .join("");
        const json = good(JSON.stringify(objects));
        expect(good(csv)).toEqual(json);
        expect(good(objects.map((row) => JSON.stringify(row)).join(end))).toEqual(json);
        expect(json.lines.reduce((sum, { tokens }) => sum + tokens.output, 0n)).toBe(
          list.reduce((sum, row) => sum + BigInt(row.output), 0n),
        );
      }),
    );
  });

  test("never throws, whatever is in the file", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 200 }),
          fc.json(),
          rows.map((given) => JSON.stringify(given).slice(3)),
        ),
        (text) => {
          const read = readUsageExport(`date,model,output_tokens\n${text}`);
          expect("fault" in read || read.lines.length >= 0).toBe(true);
          readUsageExport(text);
        },
      ),
    );
  });
});

test("days are days of UTC", () => {
  const days: readonly (readonly [string, string | undefined, string | null])[] = [
    ["2026-11-01", "2026-11-30", "2026-11-01"],
    ["20261101", undefined, "2026-11-01"],
    ["1793491200", undefined, "2026-11-01"],
    ["1793577599", undefined, "2026-11-01"],
    ["1793491200000", undefined, "2026-11-01"],
    ["2026-11-01 23:59:59", undefined, "2026-11-01"],
    ["2026-11-01T23:30:00-01:00", undefined, "2026-11-02"],
    ["2026-11-01 00:00:00 UTC", "2026-11-02 00:00:00 UTC", "2026-11-01"],
    ["2026-11-01T00:00:00+02:00", undefined, null],
    ["2026-11-01T00:00:00Z", "2026-11-02T00:00:01Z", null],
    ["2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", null],
    ["yesterday", undefined, null],
    ["", undefined, null],
    ["2026-13-01", undefined, null],
    ["2026-11-01T25:00:00Z", undefined, null],
  ];
  for (const [start, end, day] of days) {
    const read = readDay(start, end);
    expect([start, "day" in read ? read.day : null]).toEqual([start, day]);
  }
});
