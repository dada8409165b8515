// The few web-platform globals that the pure layers may use. Everything else (node: modules, process, console,
// timers) fails to compile there, because the pure project has an empty `types` list.

declare class TextEncoder {
  encode(input?: string): Uint8Array;
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(input?: Uint8Array, options?: { stream?: boolean }): string;
}
