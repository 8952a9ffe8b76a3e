/** What a client understands of the bytes that it received. It reads them in its own way, not in the relay's. */

/** How an answer ended for the client. */
type Ending =
  /** With `[DONE]`, or a complete plain body. */
  | "whole"
  /** An error instead of an answer. */
  | "refused"
  /** An error event in the stream. */
  | "broken"
  /** HTTP ended well, but the answer is not whole and does not say so. */
  | "silent"
  /** The connection was lost. */
  | "cut";

export interface Heard {
  readonly ending: Ending;
  readonly text: string;
  /** The error the client was told. */
  readonly code: string | null;
}

interface Bytes {
  readonly status: number;
  readonly body: string;
  readonly isWhole: boolean;
}

export function hear({ status, body, isWhole }: Bytes, isStream: boolean): Heard {
  if (status !== 200) return { ending: isWhole ? "refused" : "cut", text: "", code: codeOf(body) };
  return isStream ? hearStream(body, isWhole) : hearPlain(body, isWhole);
}

function hearStream(body: string, isWhole: boolean): Heard {
  let text = "";
  // Bytes after the last blank line are no event yet.
  for (const block of body.split("\n\n").slice(0, -1)) {
    const data = block
      .split("\n")
      .filter((line) => line.startsWith("data: "))
      .map((line) => line.slice("data: ".length))
      .join("\n");
    if (data === "") continue;
    if (data === "[DONE]") return { ending: "whole", text, code: null };
    const code = codeOf(data);
    if (code !== null) return { ending: "broken", text, code };
    text += textOf(data, "delta");
  }
  return { ending: isWhole ? "silent" : "cut", text, code: null };
}

function hearPlain(body: string, isWhole: boolean): Heard {
  if (!isWhole) return { ending: "cut", text: "", code: null };
  return { ending: objectIn(body) === null ? "silent" : "whole", text: textOf(body, "message"), code: null };
}

interface Chunk {
  readonly error?: { readonly code?: string | null };
  readonly choices?: readonly Readonly<Record<string, { readonly content?: string | null } | undefined>>[];
}

function objectIn(json: string): Chunk | null {
  try {
    return JSON.parse(json) as Chunk;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

function textOf(json: string, member: "delta" | "message"): string {
  return objectIn(json)?.choices?.[0]?.[member]?.content ?? "";
}

function codeOf(json: string): string | null {
  const error = objectIn(json)?.error;
  return error === undefined ? null : (error.code ?? "unnamed");
}
