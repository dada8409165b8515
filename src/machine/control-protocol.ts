import * as v from "valibot";
import { SupermachineError } from "../errors/supermachine-error.ts";

/**
 * What is spoken at a machine's control socket. Every connection starts with one line of JSON from the client:
 *
 * - `{"supermachine":1,"channel":"agent"}`: answered by the line `{"ok":true}`; from then on the connection carries the
 *   agent protocol (docs/agent-protocol.md), the client being the host.
 * - `{"supermachine":1,"channel":"monitor","request":"stop","timeoutMs":10000}` ("wait", "kill", "signal",
 *   "reset", "memory", "snapshot", "exits"): answered by one line when it is done,
 *   `{"result":...}` or `{"error":...}` (an error's wire form), and the end of the connection.
 */
export type ControlHello =
  | { readonly supermachine: 1; readonly channel: "agent" }
  | {
      readonly supermachine: 1;
      readonly channel: "monitor";
      readonly request: "wait" | "kill" | "reset" | "exits";
    }
  | {
      readonly supermachine: 1;
      readonly channel: "monitor";
      readonly request: "stop";
      readonly timeoutMs?: number;
    }
  | {
      readonly supermachine: 1;
      readonly channel: "monitor";
      readonly request: "signal";
      readonly signal: number;
    }
  | {
      readonly supermachine: 1;
      readonly channel: "monitor";
      readonly request: "memory";
      readonly limitMiB: number;
    }
  | {
      readonly supermachine: 1;
      readonly channel: "monitor";
      readonly request: "snapshot";
      readonly kind: "snapshot" | "warm" | "fork";
      readonly labels: Readonly<Record<string, string>>;
    };

/** A first line is a short object; an answer carries at most a panic's console lines. */
export const longestLineBytes: number = 256 * 1024;

const helloSchema: v.GenericSchema<unknown, ControlHello> = v.union([
  v.object({ supermachine: v.literal(1), channel: v.literal("agent") }),
  v.object({
    supermachine: v.literal(1),
    channel: v.literal("monitor"),
    request: v.picklist(["wait", "kill", "reset", "exits"]),
  }),
  v.object({
    supermachine: v.literal(1),
    channel: v.literal("monitor"),
    request: v.literal("stop"),
    timeoutMs: v.exactOptional(v.pipe(v.number(), v.minValue(0), v.maxValue(2 ** 31 - 1))),
  }),
  v.object({
    supermachine: v.literal(1),
    channel: v.literal("monitor"),
    request: v.literal("signal"),
    signal: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(64)),
  }),
  v.object({
    supermachine: v.literal(1),
    channel: v.literal("monitor"),
    request: v.literal("memory"),
    limitMiB: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 24)),
  }),
  v.object({
    supermachine: v.literal(1),
    channel: v.literal("monitor"),
    request: v.literal("snapshot"),
    kind: v.picklist(["snapshot", "warm", "fork"]),
    labels: v.record(v.string(), v.string()),
  }),
]);

/** Reads a client's first line. @throws SupermachineError `INVALID_ARGUMENT`. */
export function parseHello(line: string): ControlHello {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    // Falls through to the refusal.
  }
  const parsed = v.safeParse(helloSchema, value);
  if (parsed.success) return parsed.output;
  throw new SupermachineError("INVALID_ARGUMENT", "The control request is not understood", {
    hint: "The machine was started by another version of supermachine; use that one, or stop the machine",
  });
}
