/**
 * Money as integers. The ledger counts nano-USD (1e-9 $), prices are pico-USD per token (1e-12 $, which is micro-USD per
 * million tokens). Text is split into digits, never read as a float; in JSON both units travel as decimal text.
 */

declare const unit: unique symbol;

/** An amount in nano-USD: 5,000,000,000 is five dollars. */
export type Nanos = bigint & { readonly [unit]: "nano-USD" };

/** A price of one token in pico-USD: 2,800 is $0.0028 per million tokens. */
export type PicoPerToken = bigint & { readonly [unit]: "pico-USD per token" };

/** A value, or what is wrong with the text, worded to follow its name. Never repeats the text. */
export type MoneyReading<T> = { readonly value: T } | { readonly fault: string };

/** Digits after the point: of a dollar in nano-USD. */
const NANO_DIGITS = 9;
/** Of a price per million tokens in pico-USD per token. */
const MILLION_DIGITS = 6;
/** Of a price per token in pico-USD per token. */
const TOKEN_DIGITS = 12;

/** Both units live in 64-bit columns. */
const INT64_MAX = 2n ** 63n - 1n;

const CHARS_MAX = 64;

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$/;

/** Text that may stand for an amount or a price; for published schemas. */
export const DECIMAL_PATTERN: RegExp = /^-?\d+(\.\d+)?([eE][+-]?\d{1,3})?$/;

/** Takes an integer as nano-USD. */
export function nanos(amount: bigint): Nanos {
  return amount as Nanos;
}

/** Takes an integer as pico-USD per token. */
export function picoPerToken(price: bigint): PicoPerToken {
  return price as PicoPerToken;
}

/** `"5.00"` USD to 5,000,000,000 nano-USD. An amount may be negative. */
export function parseUsd(text: unknown): MoneyReading<Nanos> {
  const read = parseScaled(text, NANO_DIGITS);
  return "fault" in read ? read : { value: nanos(read.value) };
}

/** `"0.0028"` USD per million tokens to 2,800 pico-USD per token. */
export function parsePricePerMillion(text: unknown): MoneyReading<PicoPerToken> {
  return asPrice(parseScaled(text, MILLION_DIGITS));
}

/** `"2.7e-07"` USD per token to 270,000 pico-USD per token. */
export function parsePricePerToken(text: unknown): MoneyReading<PicoPerToken> {
  return asPrice(parseScaled(text, TOKEN_DIGITS));
}

/** The integer text of `toJson`, read back. */
export function parseInteger(text: unknown): MoneyReading<bigint> {
  if (typeof text !== "string" || !/^(?:0|-?[1-9]\d{0,18})$/.test(text)) return { fault: "must be an integer written as text" };
  return withinInt64(BigInt(text));
}

/** How an amount or a price travels in JSON: its integer as text, since a JSON number may lose digits. */
export function toJson(amount: Nanos | PicoPerToken): string {
  return amount.toString();
}

/** The shortest exact text in USD with at least two places: `5.00`, `-0.000000028`. */
export function formatUsd(amount: Nanos): string {
  return formatScaled(amount, NANO_DIGITS);
}

/** The shortest exact text in USD per million tokens with at least two places: `0.0028`. */
export function formatPricePerMillion(price: PicoPerToken): string {
  return formatScaled(price, MILLION_DIGITS);
}

/** A decimal text as numerator over a power of ten, exactly; `places` is the number of digits the unit holds. */
export function parseScaled(text: unknown, places: number): MoneyReading<bigint> {
  if (typeof text === "number") return { fault: 'must be text in quotation marks, e.g. "0.10"; a number may lose digits' };
  const match = typeof text === "string" && text.length <= CHARS_MAX ? DECIMAL.exec(text) : null;
  if (match === null) return { fault: 'must be a decimal text such as "0.10"' };
  const [, sign, whole = "", fraction = "", exponent = "0"] = match;
  const digits = BigInt(whole + fraction);
  const read = shift(digits, places - fraction.length + Number(exponent));
  if (read === null) return { fault: `has more than ${places} digits after the point, which is all that can be kept` };
  return withinInt64(sign === "-" ? -read : read);
}

function shift(digits: bigint, places: number): bigint | null {
  if (digits === 0n || places >= 0) return digits === 0n ? 0n : digits * 10n ** BigInt(places);
  const divisor = 10n ** BigInt(-places);
  return digits % divisor === 0n ? digits / divisor : null;
}

function withinInt64(value: bigint): MoneyReading<bigint> {
  return value > INT64_MAX || value < -INT64_MAX ? { fault: "is too large" } : { value };
}

function asPrice(read: MoneyReading<bigint>): MoneyReading<PicoPerToken> {
  if ("fault" in read) return read;
  return read.value < 0n ? { fault: "must not be negative" } : { value: picoPerToken(read.value) };
}

function formatScaled(value: bigint, places: number): string {
  const digits = (value < 0n ? -value : value).toString().padStart(places + 1, "0");
  const fraction = digits.slice(-places).replace(/0+$/, "").padEnd(2, "0");
  return `${value < 0n ? "-" : ""}${digits.slice(0, -places)}.${fraction}`;
}
