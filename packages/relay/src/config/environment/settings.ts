/** `MILLRACE_*` variables. */
import type { ConfigMistake } from "../config.ts";
import type { Variables } from "./dotenv.ts";
import { hint } from "../../basics/nearest.ts";
import { normaliseKey, unwrap } from "../../basics/normalise-key.ts";
import type { Notes } from "../notes.ts";
import { LOG_FORMATS, LOG_LEVELS, type Settings } from "../settings.ts";
import { parseDatabase, isPort, parseHost, type Parsed } from "../values.ts";

const PREFIX = "MILLRACE_";

/** Read by the command line, not by the relay. */
const CLIENT_NAMES: readonly string[] = ["MILLRACE_URL"];

const SECRET_CHARS_MIN = 32;

type Reader = (text: string) => Parsed<Settings>;

const READERS: Readonly<Record<string, Reader>> = {
  HOST: readHost,
  PORT: (text) => (isPort(text) ? { value: { port: Number(text) } } : { fault: "must be a port number from 0 to 65535" }),
  DATA: (text) => ({ value: { dataDir: text } }),
  DATABASE_URL: readDatabaseUrl,
  STATE_URL: (text) => (text === "memory" ? { value: {} } : { fault: "must be memory; other stores are not supported by this version" }),
  ADMIN_TOKEN: (text) => secret(text, "mra_", (adminToken) => ({ adminToken })),
  MASTER_KEY: () => ({ value: {} }),
  KEY: (text) => secret(text, "sk-", (firstKey) => ({ firstKey })),
  LOG_LEVEL: (text) => oneOf(text, LOG_LEVELS, (logLevel) => ({ logLevel })),
  LOG_FORMAT: (text) => oneOf(text, LOG_FORMATS, (logFormat) => ({ logFormat })),
};

/** Reads the relay's own variables. A blank variable counts as unset. */
export function readSettings(variables: Variables, notes: Notes): Settings {
  let settings: Settings = {};
  for (const [name, raw] of Object.entries(variables)) {
    if (!name.startsWith(PREFIX) || raw === undefined || unwrap(raw) === "") continue;
    settings = { ...settings, ...readOne(name, raw, notes) };
  }
  return settings;
}

function readOne(name: string, raw: string, notes: Notes): Settings {
  const reader = ownReader(name.slice(PREFIX.length));
  if (reader === undefined) {
    if (!CLIENT_NAMES.includes(name)) notes.warnings.push(`${name} is not a variable of this relay${hint(name, knownNames())}`);
    return {};
  }
  const result = reader(unwrap(raw));
  if ("value" in result) return result.value;
  notes.mistakes.push(mistake(name, result.fault));
  return {};
}

function ownReader(word: string): Reader | undefined {
  return Object.hasOwn(READERS, word) ? READERS[word] : undefined;
}

function knownNames(): string[] {
  return [...Object.keys(READERS).map((word) => PREFIX + word), ...CLIENT_NAMES];
}

function mistake(place: string, fault: string): ConfigMistake {
  return { place, message: `${place} ${fault}.` };
}

function readHost(text: string): Parsed<Settings> {
  const host = parseHost(text);
  return "value" in host ? { value: { host: host.value } } : host;
}

function readDatabaseUrl(text: string): Parsed<Settings> {
  const database = parseDatabase(text);
  return "value" in database ? { value: { database: database.value } } : database;
}

function secret(text: string, prefix: string, settings: (key: string) => Settings): Parsed<Settings> {
  const result = normaliseKey(text);
  if ("fault" in result) return result;
  const isLong = result.key.length >= prefix.length + SECRET_CHARS_MIN;
  if (result.key.startsWith(prefix) && isLong) return { value: settings(result.key) };
  return { fault: `must be ${prefix} followed by at least ${SECRET_CHARS_MIN} characters` };
}

function oneOf<T extends string>(text: string, words: readonly T[], settings: (word: T) => Settings): Parsed<Settings> {
  const word = words.find((candidate) => candidate === text.toLowerCase());
  return word === undefined ? { fault: `must be one of ${words.join(", ")}` } : { value: settings(word) };
}
