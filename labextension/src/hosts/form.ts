import { IAddHost, IHosts, IKnownPlace } from '../api/hosts';
import { readable } from '../format/text';
import { ITranslate } from '../nodes/nodes';

/** What a person enters; `choice` is one of what the node's machine knows already: `alias:gpu1`, `context:lab`. */
export interface IHostInput {
  readonly choice: string;
  readonly address: string;
  readonly name: string;
  readonly labels: string;
  /** A directory of the node's machine with `ca.pem`, `cert.pem` and `key.pem`, for `tcp://`. */
  readonly certificates: string;
}

export const EMPTY_HOST: IHostInput = { choice: '', address: '', name: '', labels: '', certificates: '' };

const CONTEXT = 'context:';
const ALIAS = 'alias:';

export interface IChoice {
  readonly value: string;
  readonly label: string;
}

/** What the node's machine knows already, for two groups of a list. */
export function choices(hosts: IHosts | null): { aliases: IChoice[]; contexts: IChoice[] } {
  const list = (kind: string, places: readonly IKnownPlace[] | null | undefined): IChoice[] =>
    (places ?? [])
      .filter(place => typeof place?.Name === 'string' && place.Name !== '')
      .map(place => ({ value: kind + place.Name, label: described(place) }));
  return { aliases: list(ALIAS, hosts?.Aliases), contexts: list(CONTEXT, hosts?.Contexts) };
}

function described(place: IKnownPlace): string {
  const where = place.URL || place.Shown || place.Description || '';
  const name = readable(place.Name);
  return where && where !== place.Name ? `${name} (${readable(where)})` : name;
}

/** Whether this way needs certificates. */
export function wantsCertificates(input: IHostInput): boolean {
  return input.choice === '' && /^\s*tcp:\/\//i.test(input.address);
}

/** The order that an input means; `problem` says what it lacks. */
export function orderOf(input: IHostInput, trans: ITranslate): { order: IAddHost; problem: string } {
  const order: IAddHost = {};
  const address = input.address.trim();
  if (input.choice.startsWith(CONTEXT)) {
    order.Context = input.choice.slice(CONTEXT.length);
  } else if (input.choice.startsWith(ALIAS)) {
    order.URL = input.choice.slice(ALIAS.length);
  } else if (address) {
    order.URL = address;
  } else {
    return { order, problem: trans.__('Where is it? Enter an address such as alice@gpu1.') };
  }
  if (input.name.trim()) {
    order.Name = input.name.trim();
  }
  const directory = input.certificates.trim().replace(/\/+$/, '');
  if (wantsCertificates(input) && directory) {
    order.TLS = { Ca: `${directory}/ca.pem`, Cert: `${directory}/cert.pem`, Key: `${directory}/key.pem` };
  }
  const labels = new Map<string, string>();
  for (const word of input.labels.split(/[\s,]+/).filter(Boolean)) {
    const [key = '', ...rest] = word.split('=');
    if (!key || rest.length === 0) {
      return { order, problem: trans.__('“%1” is no label: write key=value.', readable(word)) };
    }
    labels.set(key, rest.join('='));
  }
  if (labels.size > 0) {
    order.Labels = Object.fromEntries(labels);
  }
  return { order, problem: '' };
}
