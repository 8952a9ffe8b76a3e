/** What the readers of published price lists share. */
import { isObject } from "@millrace/wire/json-values";
import type { JsonObject } from "@millrace/wire/json-values";
import { formatPricePerMillion, formatUsd, nanos, parsePricePerToken, parseScaled } from "@millrace/wire/money";

/** A row in the form of a configuration file, before it is judged. */
export interface ForeignRow {
  readonly provider: string;
  readonly model: string;
  /** Dated by `from`. */
  readonly versions: readonly WrittenVersion[];
}

export type WrittenVersion = Readonly<Record<string, unknown>>;

/** A part of the list that the reader left out, and why. */
export interface ImportFinding {
  /** `provider/model`, or empty when the whole text is meant. */
  readonly name: string;
  /** Worded to follow the name. */
  readonly reason: string;
}

/** From their names of providers to ours. */
export type ProviderNames = Readonly<Record<string, string>>;

/** A JSON number as the text it was written in. */
export class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** An object that is no list and no number. */
export function isMapping(value: unknown): value is JsonObject {
  return isObject(value) && !(value instanceof NumberText);
}

/** Our name for a provider, else theirs. */
export function providerNamed(foreign: string, names: ProviderNames): string {
  return Object.hasOwn(names, foreign) ? (names[foreign] ?? foreign) : foreign;
}

/** A number's text; undefined for anything else. */
export function textOf(value: unknown): string | undefined {
  return value instanceof NumberText ? value.text : undefined;
}

/** Converts USD per token to USD per million tokens, exactly. A text that is no number stays as it is, and is refused by name later. */
export function perMillion(perToken: string | undefined): string | undefined {
  if (perToken === undefined) return undefined;
  const read = parsePricePerToken(perToken);
  return "value" in read ? formatPricePerMillion(read.value) : `${perToken} per token`;
}

/** Converts USD per thousand requests to USD per request, exactly. */
export function perRequest(perThousand: string): string {
  const read = parseScaled(perThousand, 6);
  return "value" in read ? formatUsd(nanos(read.value)) : `${perThousand} per thousand`;
}
