/** One event of a stream before it is framed. */
export interface StreamEvent {
  readonly data: string;
  readonly name?: string;
}

/** Bytes that go out as they are. */
interface RawBytes {
  readonly raw: string | Uint8Array;
}

/**
 * What a stream is made of. `tick` waits for the next beat of the rate; the event after it is made only then, so
 * that a stamp tells the true send time. `hang` ends the stream without ending the body.
 */
export type StreamItem = "tick" | "hang" | { readonly lingerMs: number } | StreamEvent | RawBytes;

/** Whether the item is an event with data. */
export function isEvent(item: StreamItem): item is StreamEvent {
  return typeof item === "object" && "data" in item;
}
