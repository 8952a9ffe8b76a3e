/** Shared by the tests of configuration files. */
import type { Config } from "../../src/config/config.ts";
import { type FileReading, readConfigFile } from "../../src/config/file/from-file.ts";
import { NO_ROUTING } from "../../src/config/model-table.ts";
import { newNotes, type Notes } from "../../src/config/notes.ts";
import { assembleConfig } from "../../src/config/settings.ts";
import { KEY } from "./routes.ts";

const VARIABLES = {
  DEEPSEEK_API_KEY: KEY,
  HOLYSHEEP_API_KEY: ` ${KEY}\n`,
  EMPTY: "",
  PLACE: "a.example",
};

/** Reads a file with a few variables set. */
export function readText(text: string): { reading: FileReading | null; notes: Notes } {
  const notes = newNotes();
  return { reading: readConfigFile(text, "m.yaml", VARIABLES, notes), notes };
}

/** The configuration of a file; fails the test when there is none. */
export function fileConfig(text: string): Config {
  const { reading, notes } = readText(text);
  if (reading === null) throw new Error(JSON.stringify(notes.mistakes));
  return assembleConfig([reading.settings], reading.routing ?? NO_ROUTING, notes.warnings, reading.pricing);
}

/** `LINE:COLUMN message` of every mistake. */
export function fileMistakes(text: string): string[] {
  return readText(text).notes.mistakes.map(({ place, message }) => `${place.replace("m.yaml:", "")} ${message}`);
}
