/** A provider's books in the forms that providers export. */
import { usdOf } from "./provider.ts";
import type { Billed } from "./provider.ts";

/** Sums of each day and model, as most exports have them. */
function sums(bills: readonly Billed[]): Billed[] {
  const found = new Map<string, Billed>();
  for (const bill of bills) {
    const id = `${bill.day} ${bill.model}`;
    const before = found.get(id) ?? { ...bill, input: 0, cached: 0, output: 0 };
    found.set(id, {
      ...bill,
      input: before.input + bill.input,
      cached: before.cached + bill.cached,
      output: before.output + bill.output,
    });
  }
  return [...found.values()];
}

const csv = (lines: readonly (readonly (string | number)[])[], end: string): string =>
  lines.map((fields) => fields.map((field) => (/[",;\n]/.test(String(field)) ? `"${field}"` : field)).join(",") + end).join("");

const secondsOf = (day: string): number => Date.parse(day) / 1000;

/** Each: the bills as the text of a file. */
export const EXPORTS: Readonly<Record<string, (bills: readonly Billed[]) => string>> = {
  "pages of buckets, a document a line": (bills) => {
    const days = [...new Set(bills.map(({ day }) => day))];
    const pages = days.map((day, at) => ({
      object: "page",
      data: [
        {
          object: "bucket",
          start_time: secondsOf(day),
          end_time: secondsOf(day) + 86_400,
          results: bills
            .filter((bill) => bill.day === day)
            .map(({ model, input, cached, output }) => ({
              object: "organization.usage.completions.result",
              input_tokens: input,
              input_cached_tokens: cached,
              output_tokens: output,
              num_model_requests: 1,
              project_id: null,
              model,
            })),
        },
      ],
      has_more: at < days.length - 1,
      next_page: null,
    }));
    return pages.map((page) => `${JSON.stringify(page)}\n`).join("");
  },
  "a row for each kind of tokens": (bills) =>
    csv(
      [
        ["user_id", "utc_date", "model", "api_key_name", "api_key", "type", "price", "amount"],
        ...bills.flatMap(({ day, model, input, cached, output }) =>
          [
            ["request_count", "", 1],
            ["input_cache_hit_tokens", "0.000000006", cached],
            ["input_cache_miss_tokens", "0.0000003", input - cached],
            ["output_tokens", "0.0000012", output],
          ].map((cells): (string | number)[] => ["u1", day.replaceAll("-", ""), model, "relay, prod", "sk-***", ...cells]),
        ),
      ],
      "\n",
    ),
  "a console's table, with a byte order mark": (bills) =>
    `\uFEFF${csv(
      [
        [
          "usage_date_utc",
          "model_version",
          "workspace",
          "usage_input_tokens_no_cache",
          "usage_input_tokens_cache_write_5m",
          "usage_input_tokens_cache_write_1h",
          "usage_input_tokens_cache_read",
          "usage_output_tokens",
        ],
        ...sums(bills).map(({ day, model, input, cached, output }) => [day, model, "Default", input - cached, 0, 0, cached, output]),
      ],
      "\r\n",
    )}`,
  "a plain table with costs": (bills) =>
    csv(
      [
        ["date", "model", "input_tokens", "cached_input_tokens", "output_tokens", "cost"],
        ...bills.map((bill) => [bill.day, bill.model, bill.input, bill.cached, bill.output, usdOf(bill)]),
      ],
      "\n",
    ),
};
