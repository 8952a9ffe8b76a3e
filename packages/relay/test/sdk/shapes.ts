/** Every wire shape that SDKs are tried with, as data. `fixtures/shapes.json` is the same for other languages. */
import { END_SHAPES } from "./shapes-ends.ts";
import { ACCUMULATED_SHAPES } from "./shapes-accumulated.ts";
import { WIRE_SHAPES } from "./shapes-wire.ts";
import type { Shape } from "./shape.ts";

export const SHAPES: readonly Shape[] = [...WIRE_SHAPES, ...ACCUMULATED_SHAPES, ...END_SHAPES];

/** What `fixtures/shapes.json` holds; `vitest -u` writes it anew. */
export function shapesJson(): string {
  return `${JSON.stringify(SHAPES, null, 1)}\n`;
}

export function shapeNamed(name: string): Shape | undefined {
  return SHAPES.find((shape) => shape.name === name);
}
