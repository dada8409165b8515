import { constants, createReadStream } from "node:fs";
import { chmod, lstat, mkdir, open, rm, stat, symlink } from "node:fs/promises";
import { basename, dirname, join, posix, resolve } from "node:path";
import type { DirectoryEntry } from "../agent/requests.ts";
import { SupermachineError } from "../errors/supermachine-error.ts";
import { hostStat, tarOfFolder } from "./host-tar.ts";
import type { MachineFiles } from "./machine-files.ts";

/** A guest can invent entries without end; nobody copies out more than this in one call. */
const mostEntries = 1_000_000;
const deepest = 256;

/** See `MachineFiles.copyIn`. */
export async function copyIn(files: MachineFiles, host: string, guest: string): Promise<void> {
  const source = await hostStat(host);
  const target = (await isGuestDirectory(files, guest)) ? posix.join(guest, basename(resolve(host))) : guest;
  if (source.isDirectory()) {
    await files.mkdir(target, { parents: true, mode: source.mode & 0o777 });
    await files.writeTar(target, tarOfFolder(host));
  } else {
    if (guest.endsWith("/") && target === guest)
      throw new SupermachineError("FILE_ERROR", `There is no directory '${guest}' in the machine`, {
        data: { errno: "ENOENT" },
      });
    await files.write(target, createReadStream(host), { mode: source.mode & 0o777 });
  }
}

/** See `MachineFiles.copyOut`. The guest is not trusted: nothing is written outside of the target, or through a link. */
export async function copyOut(files: MachineFiles, guest: string, host: string): Promise<void> {
  const source = await files.stat(guest, { followSymlinks: true });
  const existing = await stat(host).catch(() => undefined);
  const name = checkName(posix.basename(guest) || "root", guest);
  const target = existing?.isDirectory() === true ? join(host, name) : host;
  const parent = await stat(dirname(resolve(target))).catch(() => undefined);
  if (parent?.isDirectory() !== true)
    throw new SupermachineError("INVALID_ARGUMENT", `There is no host directory '${dirname(target)}'`, {
      hint: "Create it first",
    });
  if (source.type === "directory") {
    const links: Link[] = [];
    await copyFolder(files, {
      guest,
      host: target,
      mode: source.mode,
      depth: 0,
      count: { left: mostEntries },
      links,
    });
    // Last, so that nothing has been written through one of them.
    for (const link of links) await writeLink(link);
  } else if (source.type === "file") {
    await copyFile(files, guest, { path: target, mode: source.mode });
  } else {
    throw new SupermachineError("FILE_ERROR", `'${guest}' is neither a file nor a directory`, {
      data: { errno: "EINVAL" },
    });
  }
}

interface Link {
  readonly path: string;
  readonly target: string;
}

interface Folder {
  readonly guest: string;
  readonly host: string;
  readonly mode: number;
  readonly depth: number;
  readonly count: { left: number };
  readonly links: Link[];
}

async function copyFolder(files: MachineFiles, folder: Folder): Promise<void> {
  const { guest, host, depth, count, links } = folder;
  if (depth > deepest) throw tooMuch(guest);
  await makeFolder(host);
  for (const entry of await files.list(guest)) {
    count.left -= 1;
    if (count.left < 0) throw tooMuch(guest);
    const name = checkName(entry.name, guest);
    const from = posix.join(guest, name);
    const path = join(host, name);
    if (entry.type === "directory")
      await copyFolder(files, { ...folder, guest: from, host: path, mode: entry.mode, depth: depth + 1 });
    else if (entry.type === "file") await copyFile(files, from, { path, mode: entry.mode });
    else if (entry.type === "symlink") links.push({ path, target: linkTarget(entry, from) });
  }
  await chmod(host, folder.mode & 0o777);
}

async function copyFile(
  files: MachineFiles,
  guest: string,
  target: { path: string; mode: number },
): Promise<void> {
  const { path, mode } = target;
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
  const file = await open(path, O_WRONLY | O_CREAT | O_TRUNC | (O_NOFOLLOW ?? 0), 0o600).catch((cause) => {
    throw new SupermachineError("INVALID_ARGUMENT", `The host file '${path}' cannot be written`, { cause });
  });
  try {
    for await (const chunk of files.readStream(guest)) await file.writeFile(chunk);
    await file.chmod(mode & 0o777);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch(async (cause: unknown) => {
    const existing = await lstat(path).catch(() => undefined);
    if (existing?.isDirectory() === true) return;
    throw new SupermachineError("INVALID_ARGUMENT", `The host directory '${path}' cannot be made`, { cause });
  });
}

async function writeLink({ path, target }: Link): Promise<void> {
  const existing = await lstat(path).catch(() => undefined);
  if (existing?.isSymbolicLink() === true) await rm(path);
  await symlink(target, path);
}

function linkTarget(entry: DirectoryEntry, from: string): string {
  if (entry.target !== undefined && entry.target !== "" && !entry.target.includes("\0")) return entry.target;
  throw new SupermachineError("AGENT_PROTOCOL", `The guest names no target for the link '${from}'`);
}

function checkName(name: string, folder: string): string {
  if (name === "" || name === "." || name === ".." || /[/\\\0]/.test(name))
    throw new SupermachineError("AGENT_PROTOCOL", `The guest lists an impossible name in '${folder}'`);
  return name;
}

function tooMuch(guest: string): SupermachineError {
  return new SupermachineError("FILE_ERROR", `'${guest}' is too deep or has too many entries to be copied`, {
    hint: "Use files.readTar",
    data: { errno: "EFBIG" },
  });
}

async function isGuestDirectory(files: MachineFiles, path: string): Promise<boolean> {
  try {
    return (await files.stat(path, { followSymlinks: true })).type === "directory";
  } catch (error) {
    if (error instanceof SupermachineError && error.data["errno"] === "ENOENT") return false;
    throw error;
  }
}
