/** Keeps our upstream secrets out of everything that an upstream makes us repeat. */

const MARK = "[redacted]";
/** Shorter secrets are not searched for: they would tear ordinary text apart. */
const SECRET_LENGTH_MIN = 8;
const LOOKS_LIKE_KEY = /\b(?:sk|pk|gsk|xai|hf|nvapi|pplx|AIza|Bearer)[-_ ][\w\-.*]{8,}/g;

export class Redactor {
  readonly #secrets: readonly Buffer[];

  constructor(secrets: readonly string[]) {
    this.#secrets = secrets.filter((secret) => secret.length >= SECRET_LENGTH_MIN).map((secret) => Buffer.from(secret));
  }

  /** True when the bytes hold a secret as it stands. */
  holdsSecret(bytes: Buffer): boolean {
    for (const secret of this.#secrets) if (bytes.includes(secret)) return true;
    return false;
  }

  /** The bytes with every secret overwritten in place, so that no offset moves; the same object when there was none. */
  clean(bytes: Buffer): Buffer {
    if (!this.holdsSecret(bytes)) return bytes;
    const clean = Buffer.from(bytes);
    for (const secret of this.#secrets) {
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
}
