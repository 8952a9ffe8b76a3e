/**
 * The `millrace` command, started without flags. What the process needs before its other files load comes first: `program.ts`
 * is imported only when that is set. It lies outside of `src`, because it is not TypeScript, so it is named by its URL.
 */
await import(new URL("../../bin/runtime.js", import.meta.url).href);
await import("./program.ts");

export {};
