/** The shape of a configuration file. Checks that need more than one key are in `checks.ts`. */
import { z } from "zod";
import { presetNames } from "../../provider/catalogue.ts";
import { baseUrlFault } from "../base-url.ts";
import { limits, limitSet, MODEL_NAME, tier } from "./limits.ts";
import { band, price, prices, window } from "./price-schema.ts";
import { faultIn, judged, text } from "./text-schema.ts";
import { networkFault } from "../../basics/network.ts";
import { DURATION_PATTERN, parseDuration, parseSize, SIZE_PATTERN } from "../quantity.ts";
import { LOG_FORMATS, LOG_LEVELS } from "../settings.ts";
import { parseDatabase, parseListen } from "../values.ts";

const UPSTREAM_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const IN_FLIGHT_MAX = 1_000_000;

function duration(meaning: string, isZeroAllowed = false): z.ZodString {
  const isAllowed = (text: string): boolean => (parseDuration(text) ?? -1) >= (isZeroAllowed ? 0 : 1);
  return z
    .string({ error: "must be a duration such as 250ms, 5s or 60m" })
    .regex(DURATION_PATTERN, { error: "must be a duration such as 250ms, 5s or 60m", abort: true })
    .refine(isAllowed, {
      error: `must be ${isZeroAllowed ? "at most 24h" : "more than 0 and at most 24h"}`,
    })
    .describe(`${meaning} A duration such as 250ms, 5s or 60m.`);
}

function size(meaning: string): z.ZodString {
  return z
    .string({ error: "must be a size such as 64KiB or 16MiB" })
    .regex(SIZE_PATTERN, { error: "must be a size such as 64KiB or 16MiB", abort: true })
    .refine((text) => parseSize(text) !== null, { error: "must be more than 0 and at most 4GiB" })
    .describe(`${meaning} A size such as 64KiB or 16MiB.`);
}

const drain = z.strictObject({
  drain: z.strictObject({
    for: duration("The relay reads on for at most this long.").optional(),
    max_bytes: size("The relay reads on for at most this much.").optional(),
  }),
});

const onDisconnect = z
  .union([z.enum(["abort", "drain"]), drain], {
    error: "must be abort, drain, or { drain: { for: 30s, max_bytes: 1MiB } }",
  })
  .describe("What the relay does with an upstream call whose client has left.");

const timeouts = z
  .strictObject({
    connect: duration("Time for the set-up of TCP and TLS.").optional(),
    first_event: duration("Time from the request sent to the first data event.").optional(),
    payload_idle: duration("Time between two data events; comments do not count.").optional(),
    transport_idle: duration("Time between two bytes of any kind.").optional(),
    total: duration("Time for the whole attempt.").optional(),
  })
  .describe("Deadlines of one attempt.");

const upstream = z
  .strictObject({
    provider: z.enum(presetNames()).describe("A preset, or openai-compatible.").optional(),
    base_url: judged("Address up to and including the version, e.g. https://api.example.com/v1.", baseUrlFault).optional(),
    api_key: text('The secret; write a reference such as "${PROVIDER_API_KEY}".').optional(),
    timeouts: timeouts.optional(),
    max_in_flight: z
      .int({ error: "must be a whole number" })
      .min(1, { error: "must be at least 1" })
      .max(IN_FLIGHT_MAX, { error: `must be at most ${IN_FLIGHT_MAX}` })
      .describe("Most calls at the same time. Default: what the process can carry.")
      .optional(),
    reserved_percent: z
      .int({ error: "must be a whole number" })
      .min(0, { error: "must be at least 0" })
      .max(90, { error: "must be at most 90" })
      .describe("Percent of max_in_flight that is kept for accounts, then for keys within an account, below their fair share. Default: 25.")
      .optional(),
    on_disconnect: onDisconnect.optional(),
    malformed: z
      .enum(["fail", "skip"])
      .describe("What the relay does with an event that is not a JSON object: fail ends the stream, skip leaves the event out.")
      .optional(),
    finish: z.enum(["required", "optional"]).describe("required: [DONE] without a finish reason counts as truncated.").optional(),
    max_event: size("The largest event.").optional(),
    costs: z
      .record(z.string().regex(MODEL_NAME, { error: "must be 1 to 200 characters without white space" }), price)
      .describe("What models cost there, by the upstream's own names.")
      .optional(),
  })
  .describe("One destination.");

const route = z.strictObject({
  upstream: text("Name of an upstream in this file."),
  model: text("The upstream's own name for the model; the public name if absent.").min(1, { error: "must not be empty" }).optional(),
});

const model = z
  .strictObject({
    upstreams: z
      .array(route, { error: "must be a list" })
      .min(1, { error: "must name at least one upstream" })
      .describe("In fallback order."),
    price: price.describe("What accounts pay, in USD per million tokens, as decimal text.").optional(),
    max_output_tokens: z
      .int({ error: "must be a whole number" })
      .min(1, { error: "must be at least 1" })
      .max(10_000_000, { error: "must be at most 10000000" })
      .describe(
        "The most tokens that one answer can have; if a request gives no maximum, the relay sets money aside for this many. Default: 8192.",
      )
      .optional(),
    hold: z
      .enum(["full", "sliding"])
      .describe(
        "sliding: the relay sets money aside for a streamed answer as it grows. Not for models that bill tokens which clients do not see.",
      )
      .optional(),
    continuation: z.enum(["off"], { error: "must be off; other values are not supported by this version" }).optional(),
  })
  .describe("One public model.");

const schema = z.strictObject({
  listen: judged("HOST:PORT.", faultIn(parseListen)).optional(),
  database: judged("sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/NAME.", faultIn(parseDatabase)).optional(),
  durability: z
    .enum(["process", "power"])
    .describe(
      "What every answered request survives. process: the death of the process; power: a power cut, too. Default: process on SQLite, power on PostgreSQL.",
    )
    .optional(),
  state: z.enum(["memory"], { error: "must be memory; other stores are not supported by this version" }).optional(),
  data: text("Directory for everything that the relay stores.").min(1, { error: "must not be empty" }).optional(),
  upstreams: z
    .record(z.string().regex(UPSTREAM_NAME, { error: "must be letters, digits, dots, dashes and underscores" }), upstream)
    .describe("Destinations by name.")
    .optional(),
  models: z
    .record(z.string().regex(MODEL_NAME, { error: "must be 1 to 200 characters without white space" }), model)
    .describe("Public models by name. Without this key the catalogue decides.")
    .optional(),
  prices: prices.optional(),
  sizes: z
    .strictObject({
      request: size("Request body.").optional(),
      answer: size("Plain answer.").optional(),
    })
    .optional(),
  shutdown: z
    .strictObject({
      delay: duration("Time from not ready to not listening.", true).optional(),
      drain: duration("Time after that until the relay stops running answers.", true).optional(),
    })
    .optional(),
  limits: limits.optional(),
  trusted_proxies: z
    .array(judged("An address or a network, e.g. 10.0.0.0/8.", networkFault), { error: "must be a list" })
    .max(100, { error: "must have at most 100 entries" })
    .describe("Your own proxies in front of the relay: the relay believes the client address that they forward.")
    .optional(),
  log: z.strictObject({ level: z.enum(LOG_LEVELS).optional(), format: z.enum(LOG_FORMATS).optional() }).optional(),
});

/** A file whose shape is right. */
export type FileShape = z.infer<typeof schema>;
export type UpstreamShape = z.infer<typeof upstream>;

export type ShapeIssue = z.core.$ZodIssue;

/** The shape, or everything that is wrong with it. */
export function checkShape(data: unknown): { readonly shape: FileShape } | { readonly issues: readonly ShapeIssue[] } {
  const result = schema.safeParse(data);
  return result.success ? { shape: result.data } : { issues: result.error.issues };
}

/** Keys that are legal at a place; `*` stands for any name. For "did you mean". */
export function knownKeys(path: readonly PropertyKey[]): readonly string[] {
  const pattern = asPrice(patternOf(path));
  const shapes: Readonly<Record<string, z.ZodObject>> = {
    "": schema,
    "upstreams.*": upstream,
    "upstreams.*.timeouts": timeouts,
    "upstreams.*.on_disconnect": drain,
    "upstreams.*.on_disconnect.drain": drain.shape.drain,
    "models.*": model,
    "models.*.upstreams.*": route,
    price,
    "price.bands.*": band,
    "price.windows.*": window,
    prices,
    limits,
    "limits.tiers.*": tier,
    "limits.tiers.*.per_model.*": limitSet,
    sizes: schema.shape.sizes.unwrap(),
    shutdown: schema.shape.shutdown.unwrap(),
    log: schema.shape.log.unwrap(),
  };
  return Object.keys((Object.hasOwn(shapes, pattern) ? shapes[pattern]?.shape : undefined) ?? {});
}

/** Mappings from names of the author's choice. */
const NAMED: ReadonlySet<string> = new Set(["upstreams", "upstreams.*.costs", "models", "limits.tiers", "limits.tiers.*.per_model"]);

/** Prices and costs have one shape, and so have their bands, wherever they stand. */
function asPrice(pattern: string): string {
  return pattern.replace(/^(?:models\.\*\.price|upstreams\.\*\.costs\.\*)/, "price").replace("price.windows.*.bands", "price.bands");
}

function patternOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((above, step) => {
    const word = typeof step === "number" || NAMED.has(above) ? "*" : String(step);
    return above === "" ? word : `${above}.${word}`;
  }, "");
}

/** The published JSON Schema. Patterns also take `${NAME}` references, which are resolved before the check. */
export function configJsonSchema(): object {
  const published = z.toJSONSchema(schema, {
    io: "input",
    override: ({ jsonSchema }) => {
      if (typeof jsonSchema.pattern === "string" && jsonSchema.description !== undefined) jsonSchema.pattern += "|\\$\\{";
    },
  });
  return { ...published, title: "Millrace configuration" };
}
