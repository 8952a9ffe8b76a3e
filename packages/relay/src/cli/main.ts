/**
 * The `millrace` command, started without flags. It first loads what the process needs before its other files: it imports
 * `program.ts` only after that. `runtime.js` is outside `src`, because it is not TypeScript, so it is named by its URL.
 */
await import(new URL("../../bin/runtime.js", import.meta.url).href);
await import("./program.ts");

export {};
