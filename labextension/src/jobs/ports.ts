import { IJob, IPort } from '../api/types';

const HTTP_LIKE = /^(https?|web|ui|api|dashboard|notebook|jupyter|lab)/;
const NAME = /^[a-z0-9-]+(\.[a-z0-9-]+)*$/i;
const ADDRESS_6 = /^[0-9a-f:]+$/i;

/** A port in words: `web 127.0.0.1:20000 → 80`; `*` is every address. */
export function portText(port: IPort): string {
  const inside = port.Target && port.Target !== port.Static ? ` → ${port.Target}` : '';
  const host = port.HostNetwork || '*';
  return `${port.Name ?? ''} ${host.includes(':') ? `[${host}]` : host}:${port.Static ?? 0}${inside}`;
}

/**
 * A link to a port that by its name speaks HTTP, where this page's browser can reach it; empty otherwise.
 *
 * `node` is the URL of the cluster: a node on loopback is the machine that this page comes from, `page` its host name.
 * Nothing of the spec becomes part of the link but an IP address and a number. It never leads to the page's own host
 * name: browsers send cookies to every port of a host, so the job would be handed the login of this page.
 */
export function portLink(port: IPort, node: string, page: string): string {
  const words = (port.Name ?? '').toLowerCase().split('_');
  const number = port.Static ?? 0;
  const valid = Number.isInteger(number) && number > 0 && number < 65536;
  if (!valid || !words.some(word => HTTP_LIKE.test(word))) {
    return '';
  }
  const host = placeOf(port.HostNetwork ?? '', bare(hostOf(node)), bare(page));
  if (!host) {
    return '';
  }
  const scheme = words.some(word => word.startsWith('https')) ? 'https' : 'http';
  const link = urlOf(scheme, host, number);
  const own = bare(page);
  // As the browser spells it: an address of IPv6 has many spellings.
  const there = bare(hostOf(link));
  if (there !== own) {
    return link;
  }
  return isLoopback(own) ? urlOf(scheme, own === 'localhost' ? '127.0.0.1' : 'localhost', number) : '';
}

/** Whether an execution of the job will have ports. */
export function asksForPorts(job: IJob): boolean {
  const network: unknown = job.Tasks?.[0]?.Network;
  const ports: unknown = network && typeof network === 'object' && 'Ports' in network ? network.Ports : null;
  return Array.isArray(ports) && ports.length > 0;
}

function urlOf(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}/`;
}

function placeOf(address: string, node: string, page: string): string {
  const machine = isLoopback(node) ? page : node;
  if (address === '' || address === '0.0.0.0' || address === '::') {
    return NAME.test(machine) || ADDRESS_6.test(machine) ? machine : '';
  }
  if (isLoopback(address)) {
    // The browser's own loopback is the node's only where both are on one machine.
    return isLoopback(page) && isLoopback(node) ? address : '';
  }
  return /^[0-9.]+$/.test(address) || ADDRESS_6.test(address) ? address : '';
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function bare(host: string): string {
  return host.replace(/^\[|\]$/g, '').toLowerCase();
}

function hostOf(url: string): string {
  try {
    return new URL(url).hostname;
  } catch {
    return '';
  }
}
