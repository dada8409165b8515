// The ACPI tables, judged by ACPICA's own disassembler and compiler.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { acpiTables } from "../../src/arch/x64/acpi/tables.ts";
import {
  ACPI_START,
  VIRTIO_GSI_START,
  VIRTIO_MMIO_START,
  VIRTIO_MMIO_STRIDE,
  VIRTIO_SLOTS,
} from "../../src/arch/x64/layout.ts";

const slots = Array.from({ length: VIRTIO_SLOTS }, (_, index) => ({
  start: VIRTIO_MMIO_START + index * VIRTIO_MMIO_STRIDE,
  length: VIRTIO_MMIO_STRIDE,
  gsi: VIRTIO_GSI_START + index,
}));

/** Cuts the image into tables by following RSDP and XSDT as a guest does. */
function tables(image: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(image.buffer, image.byteOffset, image.length);
  const at = (address: bigint): Uint8Array => {
    const start = Number(address) - ACPI_START;
    return image.subarray(start, start + view.getUint32(start + 4, true));
  };
  const xsdt = at(view.getBigUint64(24, true));
  const found = new Map([["xsdt", xsdt]]);
  const pointers = new DataView(xsdt.buffer, xsdt.byteOffset, xsdt.length);
  for (let offset = 36; offset < xsdt.length; offset += 8) {
    const table = at(pointers.getBigUint64(offset, true));
    found.set(Buffer.from(table.subarray(0, 4)).toString().toLowerCase(), table);
  }
  const fadt = found.get("facp") as Uint8Array;
  found.set("dsdt", at(new DataView(fadt.buffer, fadt.byteOffset).getBigUint64(140, true)));
  return found;
}

test("iasl disassembles every table without complaint and compiles the DSDT again", () => {
  const folder = mkdtempSync(join(tmpdir(), "acpi-"));
  try {
    for (const [name, bytes] of tables(acpiTables({ cpus: 8, slots }))) {
      const file = join(folder, `${name}.dat`);
      writeFileSync(file, bytes);
      const result = spawnSync("iasl", ["-d", file], { encoding: "utf8" });
      const output = result.stdout + result.stderr;
      assert.equal(result.status, 0, output);
      assert.doesNotMatch(output, /error|invalid|incorrect checksum|warning/i, `${name}: ${output}`);
      assert.doesNotMatch(
        readFileSync(join(folder, `${name}.dsl`), "utf8"),
        /incorrect checksum|Unknown|INVALID/i,
        name,
      );
    }
    const compiled = execFileSync("iasl", ["-p", join(folder, "again"), join(folder, "dsdt.dsl")], {
      encoding: "utf8",
    });
    assert.match(compiled, /0 Errors, 0 Warnings/);
    const source = readFileSync(join(folder, "dsdt.dsl"), "utf8");
    assert.equal(source.match(/LNRO0005/g)?.length, VIRTIO_SLOTS);
    assert.match(source, /Name \(_S5/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("every table's bytes add up to zero", () => {
  const image = acpiTables({ cpus: 1, slots });
  const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => total + byte, 0) & 0xff;
  assert.equal(sum(image.subarray(0, 20)), 0);
  assert.equal(sum(image.subarray(0, 36)), 0);
  for (const [name, bytes] of tables(image)) assert.equal(sum(bytes), 0, name);
});
