/** Reads flags, environment, `.env` and configuration file once and makes the frozen configuration. */
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { ConfigMistake, ConfigResult } from "./config.ts";
import { parseDotenv, type Variables } from "./environment/dotenv.ts";
import { readSettings } from "./environment/settings.ts";
import { routingFromEnvironment } from "./environment/from-environment.ts";
import type { FileReading } from "./file/from-file.ts";
import { newNotes, type Notes } from "./notes.ts";
import { type Pricing, pricingMistakes, SHIPPED_PRICING } from "./pricing.ts";
import { assembleConfig, type Settings } from "./settings.ts";
import { isPort, parseHost } from "./values.ts";

export interface LoadRequest {
  /** `--config`. */
  readonly file?: string | undefined;
  /** `--host`. */
  readonly host?: string | undefined;
  /** `--port`. */
  readonly port?: number | undefined;
  /** `--data`. */
  readonly data?: string | undefined;
  readonly env: Variables;
  /** Where `.env` lies, and what `file` is relative to. */
  readonly cwd: string;
  /** Told of each file just before it is read, whether it is there or not. */
  readonly onFile?: (path: string) => void;
}

const FILE_CHARS_MAX = 1024 ** 2;

const LIST_CHARS_MAX = 16 * 1024 ** 2;

const FAULTS: Readonly<Record<string, string>> = {
  ENOENT: "does not exist",
  EACCES: "may not be read by this user",
  EISDIR: "is a directory",
  TOO_LARGE: "is larger than 1 MiB",
};

/** Flags win over the environment, that over `.env`, that over the file, that over the defaults. Never throws. */
export async function loadConfig(request: LoadRequest): Promise<ConfigResult> {
  const notes = newNotes();
  const variables = await readVariables(request, notes);
  const fromEnvironment = readSettings(variables, notes);
  const reading = request.file === undefined ? null : await readFileOf(request.file, request, variables, notes);
  const isOwnedByFile = request.file !== undefined && (reading === null || reading.routing !== null);
  const routing = isOwnedByFile ? reading?.routing : routingFromEnvironment(variables, notes);
  const flags = flagSettings(request, notes);
  if (notes.mistakes.length > 0 || routing === undefined || routing === null) return { ok: false, mistakes: notes.mistakes };
  const pricing = await pricingOf(request, reading, notes);
  if (notes.mistakes.length > 0) return { ok: false, mistakes: notes.mistakes };
  const layers = [flags, fromEnvironment, reading?.settings ?? {}];
  const config = assembleConfig(layers, routing, notes.warnings, pricing);
  const unpriced = pricingMistakes(pricing, routing, config.prices);
  return unpriced.length > 0 ? { ok: false, mistakes: unpriced } : { ok: true, config };
}

/** One line for each mistake, for people. */
export function formatMistakes(mistakes: readonly ConfigMistake[]): string {
  return mistakes.map(({ place, message }) => `${place}: ${message}`).join("\n");
}

async function readVariables(request: LoadRequest, notes: Notes): Promise<Variables> {
  const { env, cwd } = request;
  const text = await readText(join(cwd, ".env"), request);
  if ("code" in text) {
    if (text.code !== "ENOENT") notes.warnings.push(`.env ${FAULTS[text.code] ?? "cannot be read"}, so it was left out.`);
    return env;
  }
  const { variables, mistakes } = parseDotenv(text.text, ".env");
  notes.mistakes.push(...mistakes);
  return { ...variables, ...env };
}

async function readFileOf(file: string, request: LoadRequest, variables: Variables, notes: Notes): Promise<FileReading | null> {
  const text = await readText(resolve(request.cwd, file), request);
  if ("text" in text) {
    // Loaded only when there is a file: its libraries would cost a relay without one 10 MB of memory.
    const { readConfigFile } = await import("./file/from-file.ts");
    return readConfigFile(text.text, file, variables, notes);
  }
  notes.mistakes.push({
    place: file,
    message: `The configuration file ${FAULTS[text.code] ?? "cannot be read"}.`,
  });
  return null;
}

/** What the file says about prices, with the lists that it names. */
async function pricingOf(request: LoadRequest, reading: FileReading | null, notes: Notes): Promise<Pricing> {
  const { file, cwd } = request;
  const pricing = reading?.pricing ?? SHIPPED_PRICING;
  if (file === undefined || pricing.lists.length === 0) return pricing;
  const { readPriceLists } = await import("./file/price-lists.ts");
  const readList = async (path: string): Promise<{ text: string } | { fault: string }> => {
    const read = await readText(path, request, LIST_CHARS_MAX);
    return "text" in read ? read : { fault: read.code === "TOO_LARGE" ? "is larger than 16 MiB" : (FAULTS[read.code] ?? "cannot be read") };
  };
  return { ...pricing, imported: await readPriceLists(pricing.lists, resolve(cwd, file), readList, notes) };
}

async function readText(
  path: string,
  { onFile }: LoadRequest,
  charsMax = FILE_CHARS_MAX,
): Promise<{ readonly text: string } | { readonly code: string }> {
  onFile?.(path);
  try {
    const text = await readFile(path, "utf8");
    return text.length > charsMax ? { code: "TOO_LARGE" } : { text };
  } catch (error) {
    return { code: (error as NodeJS.ErrnoException).code ?? "UNKNOWN" };
  }
}

function flagSettings({ host, port, data }: LoadRequest, notes: Notes): Settings {
  const parsed = host === undefined ? null : parseHost(host);
  if (parsed !== null && "fault" in parsed) refuseFlag("--host", parsed.fault, notes);
  if (port !== undefined && !isPort(String(port))) refuseFlag("--port", "must be a port number from 0 to 65535", notes);
  if (data === "") refuseFlag("--data", "must not be empty", notes);
  return {
    host: parsed !== null && "value" in parsed ? parsed.value : undefined,
    port,
    dataDir: data,
  };
}

function refuseFlag(flag: string, fault: string, notes: Notes): void {
  notes.mistakes.push({ place: flag, message: `${flag} ${fault}.` });
}
