import "./scripts/strip.js";
import { defineConfig } from "vitest/config";

/** See `packages/relay/bin/runtime.js`, which sets the same from inside where no such flag can be given. */
const KEEP_WASM_CODE = "--no-wasm-code-gc";

export default defineConfig({
  test: {
    include: ["packages/*/test/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    pool: "forks",
    execArgv: [KEEP_WASM_CODE],
    maxWorkers: 2,
  },
});
