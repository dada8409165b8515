import type { Command } from "commander";
import { type CommandDefinition, examples } from "../../command-definition.ts";

/** `supermachine snapshots`: what its commands have in common. */
export const snapshots: CommandDefinition = { define };

function define(command: Command): void {
  command.description(
    "Manages the snapshots that are kept. They are made with 'supermachine snapshot', and machines are made of them " +
      "with 'supermachine restore'.",
  );
  examples(command, [
    ["snapshots ls", "What is there"],
    ["snapshots rm ready", "Remove the snapshot 'ready'"],
  ]);
}
