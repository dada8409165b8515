import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import type { Library } from "../library.ts";
import { pruneReport } from "../output/prune-report.ts";

interface Options {
  all?: true;
  quiet?: true;
  json?: true;
}

/** `supermachine prune` */
export const prune: CommandDefinition = { define };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Deletes what nothing refers to: layers and root file systems of removed images, snapshots of forks that have " +
        "ended, and unfinished files. With -a also machines that have ended, images that no machine uses, and " +
        "templates and warmed-up states, which are made again when they are needed. Snapshots that were made by hand, " +
        "or have a name, stay.",
    )
    .option(
      "-a, --all",
      "also machines that have ended, images that no machine uses, templates and warmed-up states",
    )
    .option("-q, --quiet", "print nothing");
  examples(command, [
    ["prune", "Tidy up"],
    ["prune -a", "Give back all the space that no running machine needs"],
  ]);
  action<Options>(command, cli, async (_, options) => {
    const library = await cli.library();
    const all = options.all === true;
    const machines = all ? await removeEndedMachines(library) : [];
    // Before the images: root file systems stay for the snapshots that have them mounted.
    const { removed: snapshots, freedBytes: snapshotBytes } = await (await library.snapshots()).prune({
      templates: all,
    });
    const images = all ? await removeUnusedImages(library) : [];
    const freedBytes = snapshotBytes + (await library.Image.prune()).freedBytes;
    const pruned = { machines, snapshots, images, freedBytes };
    if (options.json === true) cli.printJson(pruned);
    else if (options.quiet !== true) cli.print(pruneReport(pruned));
    return 0;
  });
}

async function removeEndedMachines({ Machine }: Library): Promise<string[]> {
  const ended = (await Machine.list({ all: true })).filter(
    ({ state }) => state === "stopped" || state === "crashed",
  );
  const removed: string[] = [];
  for (const { id, name } of ended) {
    // Another process may be faster, or may be at it.
    const done = await unless(["MACHINE_NOT_FOUND", "MACHINE_RUNNING"], async () => {
      await using machine = await Machine.connect(id);
      await machine.remove();
    });
    if (done) removed.push(name);
  }
  return removed;
}

async function removeUnusedImages({ Image }: Library): Promise<string[]> {
  const removed: string[] = [];
  for (const { reference } of await Image.list()) {
    if (await unless(["IMAGE_IN_USE", "IMAGE_NOT_FOUND"], () => Image.remove(reference)))
      removed.push(reference);
  }
  return removed;
}

/** False when the work failed with one of these codes. */
async function unless(codes: readonly string[], work: () => Promise<void>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof SupermachineError && codes.includes(error.code)) return false;
    throw error;
  }
}
