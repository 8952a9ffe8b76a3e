/** What clients of the chat-completions family read: event streams that end with `[DONE]`, and errors as `{"error":{...}}`. */
import { DONE_FRAME, KEEP_ALIVE } from "@millrace/wire/sse";
import type { ClientDialect } from "../chat/client-dialect.ts";
import type { RelayError } from "../chat/relay-error.ts";
import { bodyOf } from "./error-table.ts";

const errorBody = (error: RelayError, requestId: string): string => JSON.stringify(bodyOf(error, requestId));

export const CHAT_DIALECT: ClientDialect = {
  streamType: "text/event-stream; charset=utf-8",
  plainType: "application/json",
  done: DONE_FRAME,
  keepAlive: KEEP_ALIVE,
  errorBody,
  errorFrame: (error, requestId) => `data: ${errorBody(error, requestId)}\n\n`,
};
