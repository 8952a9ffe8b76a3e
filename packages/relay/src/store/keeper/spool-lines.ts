/**
 * Lines of a spool file, cut at the byte of a line feed and nowhere else: JSON leaves U+2028 and U+2029 in its texts, which some
 * readers of lines take for an end.
 */

const LINE_FEED = 0x0a;
/** An entry has a few KiB. What is longer was never one, and comes in parts of this size. */
const LINE_BYTES_MAX = 4 * 1024 * 1024;

export interface SpoolLine {
  readonly text: string;
  /** Bytes from the beginning up to here, the line feed included. */
  readonly end: number;
}

/** What each piece of the input completes; empty lines are left out. */
export async function* spoolLines(input: AsyncIterable<Buffer>): AsyncGenerator<SpoolLine[]> {
  let [held, size, end]: [Buffer[], number, number] = [[], 0, 0];
  const take = (lines: SpoolLine[]): void => {
    if (size > 0) lines.push({ text: Buffer.concat(held).toString("utf8"), end });
    [held, size] = [[], 0];
  };
  for await (const piece of input) {
    const lines: SpoolLine[] = [];
    for (let from = 0; from < piece.length;) {
      const feed = piece.indexOf(LINE_FEED, from);
      const to = Math.min(feed < 0 ? piece.length : feed, from + LINE_BYTES_MAX - size);
      held.push(piece.subarray(from, to));
      size += to - from;
      const isAtFeed = to === feed;
      end += to - from + (isAtFeed ? 1 : 0);
      from = to + (isAtFeed ? 1 : 0);
      if (isAtFeed || size >= LINE_BYTES_MAX) take(lines);
    }
    yield lines;
  }
  const last: SpoolLine[] = [];
  take(last);
  yield last;
}
