import { AgentApi } from './client';

/** Features are asked for again after this long: the cluster may be another one by then. */
const KEPT_MS = 15_000;

/** What the connected node can do beyond the official API. Whatever it does not name is not offered. */
export class Features {
  private asked: { at: number; found: Promise<ReadonlySet<string>> } | null = null;

  constructor(
    private readonly agent: AgentApi,
    private readonly now: () => number = Date.now
  ) {}

  /** Whether the node names a feature, such as `result-files`; false for other people's nodes. */
  async has(name: string): Promise<boolean> {
    const now = this.now();
    if (this.asked === null || now - this.asked.at > KEPT_MS) {
      const found = this.agent.node().then(info => new Set(Array.isArray(info.Features) ? info.Features : []));
      this.asked = { at: now, found };
      found.catch(() => (this.asked = null));
    }
    return (await this.asked.found).has(name);
  }
}
