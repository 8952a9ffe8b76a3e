/** The configuration that a YAML or JSON file makes. Pure: its text and the variables in, everything that follows out. */
import { genericPreset } from "../../provider/catalogue.ts";
import { normaliseBaseUrl } from "../base-url.ts";
import type { ConfigMistake, Model, OnDisconnect, Timeouts } from "../config.ts";
import type { Variables } from "../environment/dotenv.ts";
import { crossCheck, presetOfEntry } from "./checks.ts";
import { type FileDocument, type Path, parseFile } from "./document.ts";
import { issueMistakes, sentence, subject } from "./issues.ts";
import { pricingOf } from "./prices.ts";
import { expandReferences, pathId } from "./references.ts";
import { limitsOf } from "./limits.ts";
import { checkShape, type FileShape, type UpstreamShape } from "./schema.ts";
import { byName, routeByCatalogue, type Routing } from "../model-table.ts";
import { normaliseKey } from "../../basics/normalise-key.ts";
import type { Notes } from "../notes.ts";
import { type PlacedUpstream, placeUpstream } from "../placed-upstream.ts";
import type { Pricing } from "../pricing.ts";
import { parseDuration, parseSize } from "../quantity.ts";
import type { Settings } from "../settings.ts";
import { parseDatabase, parseListen } from "../values.ts";

export interface FileReading {
  readonly settings: Settings;
  /** Null when the file says nothing about upstreams and models, so that the environment decides. */
  readonly routing: Routing | null;
  readonly pricing: Pricing;
}

const DRAIN_MS = 30_000;

const DRAIN_BYTES = 1024 ** 2;

/** Reads a whole file. Returns null if the file has mistakes; the notes then have all of them. */
export function readConfigFile(text: string, file: string, variables: Variables, notes: Notes): FileReading | null {
  const parsed = parseFile(text, file);
  if ("mistakes" in parsed) {
    notes.mistakes.push(...parsed.mistakes);
    return null;
  }
  const shape = checkDocument(parsed.document, variables, notes);
  return shape === null ? null : { settings: settingsOf(shape), routing: routingOf(shape), pricing: pricingOf(shape, parsed.document) };
}

function checkDocument(raw: FileDocument, variables: Variables, notes: Notes): FileShape | null {
  const { data, faults, referring } = expandReferences(raw.data ?? {}, variables);
  const document: FileDocument = { ...raw, data };
  const result = checkShape(data);
  const findings = crossCheck(data, referring);
  const at = (path: Path, fault: string): ConfigMistake => mistakeAt(document, path, fault);
  // A failed reference leaves no text of the author at its place, so a second complaint about that place would mislead.
  const failed = new Set(faults.map(({ path }) => pathId(path)));
  const issues = "issues" in result ? result.issues.filter((issue) => !failed.has(pathId(issue.path))) : [];
  const judged = issues.filter(({ code }) => code !== "unrecognized_keys").map((issue) => pathId(issue.path));
  const told = new Set([...failed, ...judged]);
  const mistakes = [
    ...faults.map(({ path, fault }) => at(path, fault)),
    ...issues.flatMap((issue) => issueMistakes(issue, document)),
    ...findings.faults.filter(({ path }) => !told.has(pathId(path))).map(({ path, fault }) => at(path, fault)),
  ];
  notes.warnings.push(...findings.warnings.map(({ path, fault }) => asWarning(at(path, fault))));
  notes.mistakes.push(...inOrder(mistakes));
  return "shape" in result && mistakes.length === 0 ? result.shape : null;
}

function mistakeAt(document: FileDocument, path: Path, fault: string): ConfigMistake {
  return { place: document.placeOf(path), message: sentence(`${subject(path)} ${fault}`) };
}

function asWarning({ place, message }: ConfigMistake): string {
  return `${place}: ${message}`;
}

/** By line and column, each once. */
function inOrder(mistakes: readonly ConfigMistake[]): ConfigMistake[] {
  const unique = new Map(mistakes.map((mistake) => [`${mistake.place} ${mistake.message}`, mistake]));
  return [...unique.values()].sort((a, b) => a.place.localeCompare(b.place, "en", { numeric: true }));
}

function settingsOf(shape: FileShape): Settings {
  const listen = shape.listen === undefined ? null : parseListen(shape.listen);
  const database = shape.database === undefined ? null : parseDatabase(shape.database);
  return {
    ...(listen !== null && "value" in listen ? listen.value : {}),
    ...(database !== null && "value" in database ? { database: database.value } : {}),
    dataDir: shape.data,
    durability: shape.durability,
    logLevel: shape.log?.level,
    logFormat: shape.log?.format,
    requestBytesMax: bytes(shape.sizes?.request),
    answerBytesMax: bytes(shape.sizes?.answer),
    delayMs: ms(shape.shutdown?.delay),
    drainMs: ms(shape.shutdown?.drain),
    limits: limitsOf(shape.limits),
    trustedProxies: shape.trusted_proxies,
  };
}

function routingOf(shape: FileShape): Routing | null {
  if (shape.upstreams === undefined && shape.models === undefined) return null;
  const placed = Object.entries(shape.upstreams ?? {}).map(([name, entry]) => placeEntry(name, entry));
  if (shape.models !== undefined) return { upstreams: byName(placed), models: modelsOf(shape.models), takesAnyModel: [] };
  const takesAnyModel = placed.length === 1 ? placed.map(({ upstream }) => upstream.name) : [];
  return routeByCatalogue({ placed, off: [], lastResort: null, takesAnyModel });
}

function placeEntry(name: string, entry: UpstreamShape): PlacedUpstream {
  const preset = presetOfEntry(name, entry.provider, entry.base_url) ?? genericPreset;
  const key = entry.api_key === undefined ? null : normaliseKey(entry.api_key);
  const apiKey = key !== null && "key" in key ? key.key : null;
  const baseUrl = normaliseBaseUrl(entry.base_url ?? preset.baseUrl, preset);
  return placeUpstream(
    name,
    preset,
    { baseUrl, apiKey },
    {
      timeouts: timeoutsOf(entry.timeouts),
      inFlightMax: entry.max_in_flight,
      reservedShare: entry.reserved_percent === undefined ? undefined : entry.reserved_percent / 100,
      onDisconnect: onDisconnectOf(entry.on_disconnect),
      malformed: entry.malformed,
      finish: entry.finish,
      eventBytesMax: bytes(entry.max_event),
    },
  );
}

function timeoutsOf(said: UpstreamShape["timeouts"]): Partial<Timeouts> {
  const all = {
    connectMs: ms(said?.connect),
    firstEventMs: ms(said?.first_event),
    payloadIdleMs: ms(said?.payload_idle),
    transportIdleMs: ms(said?.transport_idle),
    totalMs: ms(said?.total),
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function onDisconnectOf(said: UpstreamShape["on_disconnect"]): OnDisconnect | undefined {
  if (said === undefined) return undefined;
  if (said === "abort") return { mode: "abort" };
  const limits = said === "drain" ? {} : said.drain;
  return {
    mode: "drain",
    forMs: ms(limits.for) ?? DRAIN_MS,
    bytesMax: bytes(limits.max_bytes) ?? DRAIN_BYTES,
  };
}

function modelsOf(models: NonNullable<FileShape["models"]>): ReadonlyMap<string, Model> {
  return new Map(
    Object.entries(models).map(([name, { upstreams, hold, max_output_tokens: outputTokensMax }]): [string, Model] => [
      name,
      {
        name,
        isListed: true,
        ...(hold === undefined ? {} : { hold }),
        ...(outputTokensMax === undefined ? {} : { outputTokensMax }),
        routes: upstreams.map((route) => ({
          upstream: route.upstream,
          model: route.model ?? name,
        })),
      },
    ]),
  );
}

function ms(text: string | undefined): number | undefined {
  return text === undefined ? undefined : (parseDuration(text) ?? undefined);
}

function bytes(text: string | undefined): number | undefined {
  return text === undefined ? undefined : (parseSize(text) ?? undefined);
}
