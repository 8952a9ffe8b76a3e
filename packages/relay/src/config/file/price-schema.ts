/** The shape of prices in a configuration file. `prices.ts` judges what depends on more than one text. */
import { parseMarkup, parseRatio, SAME } from "@millrace/policy/price-written";
import { parseDays, parseInstant, parseUtcRanges } from "@millrace/policy/price-times";
import { calendarNames } from "@millrace/policy/calendar";
import { DECIMAL_PATTERN, parsePricePerMillion, parseUsd } from "@millrace/wire/money";
import { z } from "zod";
import { faultIn, judged, text } from "./text-schema.ts";

const NUMBER_FAULT = 'must be decimal text in quotation marks, e.g. "0.10"';

const BANDS_MAX = 16;

const WINDOWS_MAX = 16;

const TOKENS_MAX = 1_000_000_000;

/** A price per million tokens, or an amount. The pattern is for the published schema; `parse` is the judge. */
function decimal(meaning: string, parse: Parameters<typeof faultIn>[0], pattern: RegExp = DECIMAL_PATTERN): z.ZodString {
  return z
    .string({ error: NUMBER_FAULT })
    .regex(pattern, { error: 'must be a decimal text such as "0.10"', abort: true })
    .superRefine((value, issues) => {
      const fault = value === SAME ? null : faultIn(parse)(value);
      if (fault !== null) issues.addIssue({ code: "custom", message: fault });
    })
    .describe(meaning);
}

const perMillion = (meaning: string): z.ZodString => decimal(`${meaning}, USD per million tokens.`, parsePricePerMillion);

const kinds = {
  input: perMillion("Input tokens"),
  cached_input: decimal(
    "Input tokens read from a cache, USD per million tokens, or same.",
    parsePricePerMillion,
    new RegExp(`${DECIMAL_PATTERN.source}|^${SAME}$`),
  ),
  cache_write: perMillion("Input tokens written to a cache").optional(),
  cache_write_1h: perMillion("Input tokens written to a cache for an hour").optional(),
  output: perMillion("Output tokens"),
  reasoning: perMillion("Reasoning tokens").optional(),
};

export const band = z
  .strictObject({
    above: z
      .int({ error: "must be a whole number of tokens" })
      .min(1, { error: "must be at least 1" })
      .max(TOKENS_MAX, { error: `must be at most ${TOKENS_MAX}` })
      .describe("If the prompt has more tokens than this, the band prices the whole request."),
    ...kinds,
  })
  .describe("Prices for long prompts.");

const bands = z
  .array(band, { error: "must be a list" })
  .max(BANDS_MAX, { error: `must be at most ${BANDS_MAX}` })
  .describe("Ascending.");

export const window = z
  .strictObject({
    name: text("Shown on receipts.").min(1, { error: "must not be empty" }),
    utc: judged("Times of day in UTC, e.g. 01:00-04:00, 06:00-10:00.", faultIn(parseUtcRanges)),
    days: judged("UTC weekdays, e.g. mon-fri; every day when absent.", faultIn(parseDays)).optional(),
    except_holidays: z.enum(calendarNames()).describe("The window is closed on the public holidays of this calendar.").optional(),
    times: judged("Multiplies every price, e.g. 2 or 1/2; or give prices instead.", faultIn(parseRatio)).optional(),
    ...z.strictObject(kinds).partial().shape,
    bands: bands.optional(),
  })
  .describe("Times at which other prices hold; the first open window decides.");

export const price = z
  .strictObject({
    ...kinds,
    per_request: decimal("Added to every request, in USD.", parseUsd).optional(),
    from: judged(
      "When the price begins to hold, e.g. 2026-09-10 or 2026-08-16T16:00:00Z; always if absent.",
      faultIn(parseInstant),
    ).optional(),
    bands: bands.optional(),
    windows: z
      .array(window, { error: "must be a list" })
      .max(WINDOWS_MAX, { error: `must be at most ${WINDOWS_MAX}` })
      .optional(),
  })
  .describe("USD per million tokens, as decimal text.");

export const prices = z
  .strictObject({
    import: z
      .array(
        text("A file in the form of LiteLLM's list or of genai-prices, relative to this file.").min(1, { error: "must not be empty" }),
        {
          error: "must be a list",
        },
      )
      .describe("Lists of costs.")
      .optional(),
    markup: decimal("The price of a model without a price, as a multiple of its first route's cost, e.g. 1.25.", parseMarkup).optional(),
    missing: z
      .enum(["warn", "refuse"], { error: "must be warn or refuse" })
      .describe("Whether a model without a price is a warning or a mistake in this file.")
      .optional(),
  })
  .describe("Prices of models that have none of their own in this file.");
