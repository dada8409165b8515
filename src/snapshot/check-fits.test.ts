import assert from "node:assert/strict";
import { test } from "node:test";
import { checkFits, type SnapshotHost } from "./check-fits.ts";
import { type CpuidAnswer, cpuFeatures, missingFeatures } from "./cpu-features.ts";
import { sampleManifest } from "./testing/sample-manifest.ts";

const manifest = sampleManifest();
const host: SnapshotHost = {
  version: "1.2.3",
  engine: "vmm",
  hypervisor: "kvm",
  architecture: "x64",
  cpu: { vendor: "GenuineIntel", features: { "1.ecx": 0xffff_ffff, "7.0.ebx": 0x20, "7.0.edx": 1 } },
};

test("checkFits() finds nothing wrong on the host that made it, on a better one, and with what is asked for", () => {
  assert.equal(checkFits(manifest, host), undefined);
  assert.equal(checkFits(manifest, { ...host, version: "1.10.0" }), undefined);
  assert.equal(
    checkFits(manifest, { ...host, cpus: 2, memoryMiB: 4, kernelDigest: manifest.kernel.digest }),
    undefined,
  );
});

test("checkFits() says what differs", () => {
  const reasons: [Partial<SnapshotHost>, RegExp][] = [
    [{ version: "1.2.2" }, /made by supermachine 1\.2\.3, and this is 1\.2\.2/],
    [{ version: "unknown" }, /made by/],
    [{ engine: "qemu" }, /engine is 'vmm', not 'qemu'/],
    [{ hypervisor: "hvf" }, /hypervisor is 'kvm', not 'hvf'/],
    [{ architecture: "arm64" }, /architecture is 'x64'/],
    [{ cpu: { ...host.cpu, vendor: "AuthenticAMD" } }, /vendor is 'GenuineIntel', not 'AuthenticAMD'/],
    [{ cpu: { ...host.cpu, features: { "1.ecx": 0x0200_0000 } } }, /lacks avx, avx2$/],
    [{ cpus: 1 }, /CPUs is '2', not '1'/],
    [{ memoryMiB: 8 }, /memory size in MiB is '4', not '8'/],
    [{ slots: ["console"] }, /slots/],
    [{ kernelDigest: "0" }, /kernel/],
    [{ agentDigest: "0" }, /agent/],
  ];
  for (const [change, reason] of reasons)
    assert.match(checkFits(manifest, { ...host, ...change }) ?? "", reason);
});

test("checkFits() shortens a long list of missing features", () => {
  const none = { ...host, cpu: { vendor: "GenuineIntel", features: {} } };
  const greedy = sampleManifest({ cpu: { ...manifest.cpu, features: { "1.ecx": 0xffff } } });
  assert.match(checkFits(greedy, none) ?? "", /8 more$/);
});

test("cpuFeatures() reads vendor and words, and leaves out bits that follow from state or topology", () => {
  const answer = (leaf: number, registers: Partial<CpuidAnswer>): CpuidAnswer => ({
    leaf,
    subleaf: 0,
    eax: 0,
    ebx: 0,
    ecx: 0,
    edx: 0,
    ...registers,
  });
  const { vendor, features } = cpuFeatures([
    answer(0, { ebx: 0x756e_6547, edx: 0x4965_6e69, ecx: 0x6c65_746e }),
    answer(1, { ecx: -1, edx: 1 << 28 }),
    answer(7, { subleaf: 1, eax: 0x10 }),
  ]);
  assert.equal(vendor, "GenuineIntel");
  assert.equal(features["1.ecx"], 0xf7ff_ffff);
  assert.equal(features["1.edx"], 0);
  assert.equal(features["7.1.eax"], 0x10);
  assert.equal(features["7.0.ebx"], 0);
});

test("missingFeatures() shows bits without a name by their number, and takes an unknown word for empty", () => {
  assert.deepEqual(missingFeatures({ "7.0.edx": 1, "1.ecx": 1 << 28 }, {}), [
    "bit 0 of CPUID 7.0.edx",
    "avx",
  ]);
  assert.deepEqual(missingFeatures({ constructor: 1 }, {}), ["bit 0 of CPUID constructor"]);
});
