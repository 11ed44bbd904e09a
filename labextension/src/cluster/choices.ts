import { IConnections } from '../api/connections';

/** A cluster that can be chosen from a list. */
export interface IChoice {
  /** The name of the connection; empty for the node of the Jupyter server's machine. */
  readonly name: string;
  /** What the list shows; no other choice shows the same. */
  readonly label: string;
}

/** The clusters to choose from: this machine first, then the saved connections that can be used. */
export function choices(list: IConnections, local: string): IChoice[] {
  const usable = list.connections.filter(known => !known.problem).map(known => known.name);
  // A connection may have the very name that this machine is shown with.
  const labels = new Set(usable);
  let own = local;
  while (labels.has(own)) {
    own = `${own} *`;
  }
  return [{ name: '', label: own }, ...usable.map(name => ({ name, label: name }))];
}

/** The connections that can be removed: not the one in use. */
export function removable(list: IConnections | null): string[] {
  return (list?.connections ?? []).map(known => known.name).filter(name => name !== list?.current);
}
