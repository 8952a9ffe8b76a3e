/** Makes secrets: a prefix, 256 random bits in base 62, and a checksum, so that a mistyped secret is refused without a look-up. */
import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_LENGTH = 43;
const CHECKSUM_LENGTH = 6;

export function newToken(prefix: string): string {
  const secret = base62(BigInt(`0x${randomBytes(32).toString("hex")}`), SECRET_LENGTH);
  return `${prefix}${secret}${checksum(prefix, secret)}`;
}

/** True when length and checksum say that the relay made this text. */
export function isTokenOf(prefix: string, text: string): boolean {
  if (!text.startsWith(prefix)) return false;
  const body = text.slice(prefix.length);
  const secret = body.slice(0, -CHECKSUM_LENGTH);
  return secret.length === SECRET_LENGTH && body.slice(-CHECKSUM_LENGTH) === checksum(prefix, secret);
}

export function sha256(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** What may be shown of a token: its first eight and last four characters. */
export function hintOf(token: string): string {
  return `${token.slice(0, 8)}...${token.slice(-4)}`;
}

function checksum(prefix: string, secret: string): string {
  return base62(BigInt(crc32(prefix + secret)), CHECKSUM_LENGTH);
}

function base62(value: bigint, length: number): string {
  let rest = value;
  let text = "";
  for (let i = 0; i < length; i++) {
    text = ALPHABET.charAt(Number(rest % 62n)) + text;
    rest /= 62n;
  }
  return text;
}
