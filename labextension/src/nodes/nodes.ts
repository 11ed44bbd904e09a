import { IGpu, INodeInfo, INodeState, IResources } from '../api/types';
import { bytes, shortId } from '../format/units';
import { readable, readableLines } from '../format/text';

export interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** How much of something is taken. */
export interface IMeter {
  readonly kind: 'cpu' | 'memory' | 'disk' | 'gpu';
  readonly label: string;
  readonly used: number;
  readonly total: number;
  /** The same in words: `1.5 of 4`. */
  readonly text: string;
}

/** The meters of a node: only of what it has. */
export function meters(info: INodeInfo, trans: ITranslate): IMeter[] {
  const all = info.ComputeNodeInfo?.MaxCapacity ?? {};
  const free = info.ComputeNodeInfo?.AvailableCapacity ?? {};
  const meter = (
    kind: IMeter['kind'],
    member: keyof Omit<IResources, 'GPUs'>,
    label: string,
    say: (value: number) => string
  ): IMeter | null => {
    const total = all[member] ?? 0;
    if (!(total > 0)) {
      return null;
    }
    const used = Math.min(total, Math.max(0, total - (free[member] ?? 0)));
    return { kind, label, used, total, text: trans.__('%1 of %2', say(used), say(total)) };
  };
  return [
    meter('cpu', 'CPU', trans.__('CPU'), cores),
    meter('memory', 'Memory', trans.__('Memory'), bytes),
    meter('disk', 'Disk', trans.__('Disk'), bytes),
    meter('gpu', 'GPU', trans.__('GPU'), String)
  ].filter(part => part !== null);
}

export function cores(value: number): string {
  return String(Math.round(value * 100) / 100);
}

export interface IGpuLine {
  /** What it is: `Tesla T4 · 16 GB`. */
  readonly text: string;
  /** Whether no job holds it; null where the node does not tell. */
  readonly isFree: boolean | null;
}

/** The GPUs of a node, one by one. */
export function gpus(info: INodeInfo, trans: ITranslate): IGpuLine[] {
  const { MaxCapacity: most, AvailableCapacity: available } = info.ComputeNodeInfo ?? {};
  const key = (gpu: IGpu): string => `${gpu.Vendor ?? ''} ${gpu.Index ?? 0}`;
  const free = available?.GPUs ?? [];
  const isTold = free.length === (available?.GPU ?? 0);
  const keys = new Set(free.map(key));
  return (most?.GPUs ?? []).map(gpu => ({
    text: [
      readable(gpu.Name || gpu.Vendor || '') || trans.__('GPU'),
      gpu.Memory ? bytes(gpu.Memory * 1024 * 1024) : ''
    ]
      .filter(Boolean)
      .join(' · '),
    isFree: isTold ? keys.has(key(gpu)) : null
  }));
}

/** Why GPUs of a node can't be found or given to jobs. */
export function gpuProblems(info: INodeInfo): IProblem[] {
  return Object.entries(info.ComputeNodeInfo?.GPUProblems ?? {})
    .sort()
    .map(([task, message]) => ({ task: readable(task), message: readableLines(message) }));
}

export interface IProblem {
  /** What the node was doing, in words. */
  readonly task: string;
  readonly message: string;
}

/** What work in the background of a node can't do at present. */
export function problems(info: INodeInfo): IProblem[] {
  return Object.entries(info.ComputeNodeInfo?.Problems ?? {})
    .sort()
    .map(([task, message]) => ({ task, message }));
}

export interface IEngine {
  readonly name: string;
  /** What serves it; empty where the node does not tell. */
  readonly runtime: string;
  /** Why it is off; empty for one that is on. */
  readonly problem: string;
}

/** Does nothing: for tests and measurements, as an engine and as a publisher. */
const NOOP = 'noop';

/** Names in order, without what nobody chooses. */
export function forPeople(names: readonly string[] | null | undefined): string[] {
  return [...(names ?? [])].filter(name => name !== NOOP).sort();
}

/** The engines of a node: first those that run, then those that don't, with the reason. */
export function engines(info: INodeInfo): IEngine[] {
  const {
    ExecutionEngines: names,
    EngineRuntimes: runtimes,
    EngineProblems: problems
  } = info.ComputeNodeInfo ?? {};
  const on = forPeople(names);
  // A node may call an engine anything, `constructor` too.
  const known = new Map(Object.entries(runtimes ?? {}));
  const off = Object.entries(problems ?? {}).filter(([name]) => !on.includes(name) && name !== NOOP);
  return [
    ...on.map(name => ({ name: readable(name), runtime: readable(known.get(name) ?? ''), problem: '' })),
    ...off
      .sort()
      .map(([name, problem]) => ({ name: readable(name), runtime: '', problem: readableLines(problem) }))
  ];
}

export type MembershipAction = 'approve' | 'reject' | 'delete';

/**
 * What can be done about a node's membership. The node that we are connected to stays, and so does one that is
 * connected and approved as far as deleting goes: it would come back with its next heartbeat.
 */
export function actions(node: INodeState, connectedTo: string): MembershipAction[] {
  if (connectedTo === '') {
    // Not known yet, or this user may not read it (`read:agent`): the connected node must not be offered for rejection.
    return [];
  }
  const own = node.Info.NodeID === connectedTo;
  const actions: MembershipAction[] = [];
  if (node.Membership !== 'APPROVED') {
    actions.push('approve');
  }
  if (!own && node.Membership !== 'REJECTED') {
    actions.push('reject');
  }
  if (!own && (node.Connection !== 'CONNECTED' || node.Membership === 'REJECTED')) {
    actions.push('delete');
  }
  return actions;
}

/** What a person calls a node. */
export function nodeName(node: INodeState): string {
  const { NodeID: id, Labels: labels } = node.Info;
  return labels?.name && labels.name !== id ? readable(labels.name) : shortId(id);
}

/** Made once: a thousand nodes are compared ten thousand times. */
const order = new Intl.Collator();

/** Connected ones first, then by name. */
export function sorted(nodes: Iterable<INodeState>): INodeState[] {
  const named = [...nodes].map(node => ({
    node,
    away: node.Connection === 'CONNECTED' ? 0 : 1,
    name: nodeName(node)
  }));
  return named
    .sort(
      (a, b) =>
        a.away - b.away ||
        order.compare(a.name, b.name) ||
        order.compare(a.node.Info.NodeID, b.node.Info.NodeID)
    )
    .map(({ node }) => node);
}

/** Whether all words are found in the node's id, labels, engines or states. */
export function matches(node: INodeState, text: string): boolean {
  const labels = Object.entries(node.Info.Labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const known = [
    node.Info.NodeID,
    node.Membership,
    node.Connection,
    software(node.Info),
    linkName(node),
    ...(node.Info.ComputeNodeInfo?.ExecutionEngines ?? []),
    ...labels
  ]
    .join('\n')
    .toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every(word => known.includes(word));
}

/** What a node runs, and its version: `bacalhau-jupyter 0.1.0`, `official v1.9.3`. */
export function software(info: INodeInfo): string {
  const version = info.JupyterVersion || info.BacalhauVersion?.GitVersion || '';
  return `${info.JupyterVersion ? 'bacalhau-jupyter' : 'official'} ${version}`.trim();
}

/** How messages get to a node, as the table of `node list` says it; empty where the cluster does not tell. */
export function linkName(node: INodeState): string {
  const link = node.Link ?? '';
  return { nats: 'NATS', memory: 'same process' }[link] ?? link;
}

/** A time of the wire as a local one; empty for none (Go's zero time is the year 1). */
export function moment(text: string | undefined, now: Date = new Date()): string {
  const time = new Date(text ?? '');
  if (Number.isNaN(time.getTime()) || time.getUTCFullYear() < 1970) {
    return '';
  }
  return time.toDateString() === now.toDateString() ? time.toLocaleTimeString() : time.toLocaleString();
}
