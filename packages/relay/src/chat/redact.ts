/** Keeps the secrets of upstreams out of everything that an upstream makes the relay repeat. */
import type { UpstreamError } from "../provider/provider.ts";

const MARK = "[redacted]";
/** The redactor does not search errors for shorter secrets: striking them out would tear ordinary text apart. */
const SECRET_LENGTH_MIN = 8;
/** It strikes only long secrets out of answers: some local servers take a word such as `lm-studio` for a key, and a model may say it. */
const RANDOM_LENGTH_MIN = 20;
/** What the type and code of an error look like, in contrast to a sentence. */
const MACHINE_WORD = /^[\w.:-]{1,64}$/;
const LOOKS_LIKE_KEY = /\b(?:(?:sk|pk|gsk|xai|hf|nvapi|pplx|Bearer)[-_ ]|AIza)[\w\-.*]{8,}/g;

/** The longest first: a secret that begins another one must not leave the other's rest behind. */
function needlesOf(secrets: readonly string[]): Buffer[] {
  const spellings = new Set(secrets.flatMap(spellingsOf));
  return [...spellings].toSorted((left, right) => right.length - left.length).map((spelling) => Buffer.from(spelling));
}

export class Redactor {
  readonly #secrets: readonly Buffer[];
  /** The secrets that are struck out of answers too. */
  readonly #random: readonly Buffer[];

  constructor(secrets: readonly string[]) {
    this.#secrets = needlesOf(secrets.filter((secret) => secret.length >= SECRET_LENGTH_MIN));
    this.#random = needlesOf(secrets.filter((secret) => secret.length >= RANDOM_LENGTH_MIN));
  }

  /** True when an answer's bytes hold a secret in one of its usual spellings. */
  holdsSecret(bytes: Buffer): boolean {
    for (const secret of this.#random) if (bytes.includes(secret)) return true;
    return false;
  }

  /** The bytes with every secret overwritten in place, so that no offset moves; the same object when there was none. */
  clean(bytes: Buffer): Buffer {
    if (!this.holdsSecret(bytes)) return bytes;
    const clean = Buffer.from(bytes);
    for (const secret of this.#random) {
      for (let at = clean.indexOf(secret); at >= 0; at = clean.indexOf(secret, at)) clean.fill("*", at, at + secret.length);
    }
    return clean;
  }

  /** For texts that people read: secrets, and whatever looks like some other key. */
  cleanText(text: string): string {
    let clean = text;
    for (const secret of this.#secrets) clean = clean.replaceAll(secret.toString("utf8"), MARK);
    return clean.replace(LOOKS_LIKE_KEY, MARK);
  }

  /** An upstream's error in words that a client may see. */
  cleanError(error: UpstreamError): UpstreamError {
    const clean = (text: string | null): string | null => (text === null ? null : this.cleanText(text));
    return { message: this.cleanText(error.message), type: clean(error.type), code: clean(error.code), param: clean(error.param) };
  }

  /** What rows and logs may keep of an error: its type and code. Its message can quote the prompt. */
  labelOf(error: UpstreamError): string | null {
    const words = [error.type, error.code].filter((word) => word !== null && MACHINE_WORD.test(word) && this.cleanText(word) === word);
    return words.length === 0 ? null : [...new Set(words)].join(" ");
  }
}

/** A secret as it stands, as some write it into JSON, and as a part of an address. */
function spellingsOf(secret: string): string[] {
  return [secret, secret.replaceAll("/", "\\/"), ...(secret.isWellFormed() ? [encodeURIComponent(secret)] : [])];
}
