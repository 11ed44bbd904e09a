import { IHostFacts, IHostRecord, IHosts, IHostUser } from '../api/hosts';
import { IGpu, INodeInfo, IResources } from '../api/types';
import { readable } from '../format/text';
import { bytes } from '../format/units';
import { cores, gpus, IGpuLine, ITranslate, moment } from '../nodes/nodes';

/** A clock that is off by so much is worth a word. */
const SKEW_MS = 5000;

export type Verb = 'test' | 'retry' | 'pause' | 'resume' | 'clean' | 'remove';

export interface IStateLook {
  readonly label: string;
  readonly sign: string;
  /** Which colour of the jobs' states it has. */
  readonly like: 'Completed' | 'Running' | 'Failed' | 'Stopped';
}

/** How the way to a host is, in a word, a sign and a colour. */
export function lookOf(state: string | undefined, trans: ITranslate): IStateLook {
  switch (state) {
    case 'Ready':
      return { label: trans.__('Ready'), sign: '✓', like: 'Completed' };
    case 'Unreachable':
      return { label: trans.__('Unreachable'), sign: '✕', like: 'Failed' };
    case 'Refused':
      return { label: trans.__('Refused'), sign: '✕', like: 'Failed' };
    case 'Paused':
      return { label: trans.__('Paused'), sign: '■', like: 'Stopped' };
    case 'Removing':
      return { label: trans.__('Being removed'), sign: '■', like: 'Stopped' };
    case 'Connecting':
    case undefined:
      return { label: trans.__('Connecting'), sign: '▶', like: 'Running' };
    default:
      return { label: readable(state), sign: '○', like: 'Running' };
  }
}

/** What can be done about a host now. */
export function verbs(host: IHostRecord): Verb[] {
  const { State: state } = host;
  if (state === 'Removing') {
    // What leads there may have to be mended before its jobs can end.
    return ['test', 'retry', 'remove'];
  }
  return [
    'test',
    ...(state === 'Ready' || state === 'Paused' ? [] : (['retry'] as const)),
    state === 'Paused' ? 'resume' : 'pause',
    ...(state === 'Ready' ? (['clean'] as const) : []),
    'remove'
  ];
}

/** A host as the record of a node, so that both are shown in the same way. */
export function infoOf(host: IHostRecord): INodeInfo {
  return {
    NodeID: host.NodeID || host.Name,
    ComputeNodeInfo: {
      MaxCapacity: host.Capacity,
      AvailableCapacity: host.Free,
      GPUProblems: host.Facts?.GPUProblems
    }
  };
}

/** The GPUs of a host, one by one; those that others hold there say so. */
export function gpuLines(host: IHostRecord, trans: ITranslate): (IGpuLine & { readonly held: boolean })[] {
  const key = (gpu: IGpu): string => `${gpu.Vendor ?? ''} ${gpu.Index ?? 0}`;
  const held = new Set((host.Facts?.Taken?.GPUs ?? []).map(key));
  const all = host.Capacity?.GPUs?.length ? host.Capacity.GPUs : (host.Facts?.Resources?.GPUs ?? []);
  const info = infoOf({ ...host, Capacity: { ...host.Capacity, GPUs: all } });
  return gpus(info, trans).map((line, at) => {
    const gpu = all[at];
    return {
      text: line.text,
      isFree: host.State === 'Ready' ? line.isFree : null,
      held: gpu !== undefined && held.has(key(gpu))
    };
  });
}

/** Amounts in words: `2 CPU · 4.0 GB · 1 GPU`; empty for none. */
export function amounts(resources: IResources | undefined, trans: ITranslate): string {
  const { CPU: cpu = 0, Memory: memory = 0, GPU: gpu = 0, GPUs: each } = resources ?? {};
  const many = gpu || (each?.length ?? 0);
  return [
    cpu > 0 ? trans.__('%1 CPU', cores(cpu)) : '',
    memory > 0 ? bytes(memory) : '',
    many > 0 ? trans.__('%1 GPU', many) : ''
  ]
    .filter(Boolean)
    .join(' · ');
}

/** How busy the far machine itself is, whoever uses it; empty where nobody knows. */
export function machineLine(facts: IHostFacts | null | undefined, trans: ITranslate): string {
  if (!facts) {
    return '';
  }
  const { CPU: cpu = 0, Memory: memory = 0 } = facts.Resources ?? {};
  const { Load: load = -1, FreeMemory: free = 0 } = facts;
  const taken = amounts(facts.Taken, trans);
  return [
    cpu > 0 ? trans.__('%1 CPU', cores(cpu)) : '',
    load >= 0 ? trans.__('load %1', load.toFixed(1)) : '',
    memory > 0 && free > 0 ? trans.__('%1 of %2 memory free', bytes(free), bytes(memory)) : '',
    memory > 0 && !(free > 0) ? trans.__('%1 memory', bytes(memory)) : '',
    taken ? trans.__('others hold %1', taken) : ''
  ]
    .filter(Boolean)
    .join(' · ');
}

/** A container of somebody else's, in one line. */
export function otherLine(other: IHostUser, trans: ITranslate): string {
  const owner = readable(other.Owner ?? '');
  return [
    readable(other.Name || '') || trans.__('a container'),
    readable(other.Image ?? ''),
    owner ? trans.__('of %1', owner) : '',
    amounts(other.Resources, trans)
  ]
    .filter(Boolean)
    .join(' · ');
}

/** Names and values for the part of a card that is opened. */
export function factsOf(host: IHostRecord, trans: ITranslate): [string, string][] {
  const { Facts: facts } = host;
  const skew = facts?.SkewMs ?? 0;
  const trip = facts?.RoundTripMs ?? 0;
  const ahead = duration(Math.abs(skew), trans);
  return [
    [trans.__('Address'), host.URL ?? ''],
    [trans.__('Docker context'), host.Context ?? ''],
    [trans.__('Way'), host.Way ?? ''],
    [trans.__('Machine'), facts?.Machine ?? ''],
    [trans.__('System'), [facts?.OS, facts?.Architecture].filter(Boolean).join('/')],
    [trans.__('Docker Engine'), facts?.Engine ?? ''],
    [
      trans.__('Round trip'),
      trip > 0 ? trans.__('%1 ms', trip < 10 ? trip.toFixed(1) : Math.round(trip)) : ''
    ],
    [
      trans.__('Clock'),
      !(Math.abs(skew) >= SKEW_MS)
        ? ''
        : skew > 0
          ? trans.__('%1 ahead', ahead)
          : trans.__('%1 behind', ahead)
    ],
    [trans.__('Node'), host.NodeID ?? ''],
    [trans.__('Looked at'), moment(facts?.Seen)]
  ];
}

function duration(ms: number, trans: ITranslate): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 120 ? trans.__('%1 s', seconds) : trans.__('%1 min', Math.round(seconds / 60));
}

/** By name; one that has none can't be spoken of, and is left out. */
export function sortedHosts(hosts: IHosts | null): IHostRecord[] {
  const known = (hosts?.Items ?? []).filter(host => typeof host?.Name === 'string' && host.Name !== '');
  return [...known].sort((a, b) => (a.Name < b.Name ? -1 : 1));
}

/** Whether all words are found in what a host is called, where it is, and how it stands. */
export function matchesHost(host: IHostRecord, text: string): boolean {
  const labels = Object.entries(host.Labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const known = [
    host.Name,
    `host=${host.Name}`,
    host.NodeID,
    host.URL,
    host.Context,
    host.State,
    host.Facts?.Architecture,
    'docker',
    ...labels
  ]
    .filter(Boolean)
    .join('\n')
    .toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every(word => known.includes(word));
}
