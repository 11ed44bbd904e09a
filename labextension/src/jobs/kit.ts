import { IJob, ISpecConfig } from '../api/types';

/** What a job runs, in the form in which a person wrote it. */
export interface ICode {
  /** `python`, `sh`, `bash`, … ; empty where the job runs a program as it is. */
  readonly language: string;
  readonly text: string;
  /** Variables of the notebook that travel along, by name. */
  readonly variables: readonly string[];
  /** Variables that come back, by name. */
  readonly outputs: readonly string[];
}

/** What lies in a job's inputs, in words: where the job finds it, and what it is. */
export interface IInput {
  readonly target: string;
  readonly source: string;
}

/** Bytes of a packed kit that are looked into; more than a cell's body is data. */
const MOST_BYTES = 8_000_000;
const KIT = /\.bacalhau\/?$/;
const TAR_BLOCK = 512;

interface IInputSource {
  readonly Source?: ISpecConfig;
  readonly Target?: string;
  readonly Alias?: string;
}

/** Read the body of a cell out of the job; what travels with it is packed. */
export async function codeOf(job: IJob): Promise<ICode> {
  const kit = inputSources(job).find(input => KIT.test(input.Target ?? ''));
  const files = kit ? await unpack(kit.Source) : new Map<string, Uint8Array>();
  const python = files.get('cell.py');
  const script = files.get('cell.sh');
  const names = namesIn(files.get('cell.json'));
  if (python) {
    return { language: 'python', text: decode(python), ...names };
  }
  const wat = files.get('cell.wat');
  if (wat) {
    return { language: 'wasm', text: decode(wat), ...names };
  }
  if (script) {
    return { language: shellOf(job), text: decode(script), ...names };
  }
  return { language: '', text: programOf(job), ...names };
}

/** The inputs that a person gave, without what belongs to the cell itself. */
export function inputsOf(job: IJob): IInput[] {
  return inputSources(job)
    .filter(input => !KIT.test(input.Target ?? ''))
    .map(input => ({ target: input.Target || input.Alias || '', source: sourceText(input.Source) }));
}

/** Where an input comes from, in one line. */
export function sourceText(source: ISpecConfig | undefined): string {
  const params = source?.Params ?? {};
  const text = (name: string): string => {
    const value = params[name];
    return typeof value === 'string' ? value : '';
  };
  const url = text('URL');
  if (url.startsWith('data:')) {
    const size = Math.floor(((url.length - url.indexOf(',') - 1) * 3) / 4);
    return `data inside the job (${size} bytes)`;
  }
  const bucket = text('Bucket');
  // What stands behind the question mark of a signed address is a credential.
  const plain = url.split('?')[0] ?? '';
  return (bucket ? `s3://${bucket}/${text('Key')}` : text('CID') || text('SourcePath') || plain) || '?';
}

function inputSources(job: IJob): readonly IInputSource[] {
  const sources: unknown = job.Tasks?.[0]?.InputSources;
  return Array.isArray(sources)
    ? sources.filter((item): item is IInputSource => typeof item === 'object')
    : [];
}

function programOf(job: IJob): string {
  const { Type: type, Params: params } = job.Tasks?.[0]?.Engine ?? {};
  const words = (name: string): string[] => {
    const value: unknown = params?.[name];
    return Array.isArray(value) ? value.filter((word): word is string => typeof word === 'string') : [];
  };
  if (type === 'wasm') {
    const module: unknown = params?.EntryModule;
    const entry: unknown = params?.Entrypoint;
    const named = typeof entry === 'string' && entry !== '_start' ? ['--entry-point', entry] : [];
    const imports = words('ImportModules').flatMap(name => ['-I', name]);
    const own = words('Parameters');
    const all = [
      ...named,
      ...imports,
      typeof module === 'string' ? module : '',
      ...(own.length ? ['--', ...own] : [])
    ];
    return `wasm run ${all.map(shellWord).join(' ')}`;
  }
  const command = type === 'process' ? words('Command') : [...words('Entrypoint'), ...words('Parameters')];
  const at = command.indexOf('-c');
  if (at >= 0 && at === command.length - 2) {
    return command[at + 1] ?? '';
  }
  return command.map(shellWord).join(' ');
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'"'"'`)}'`;
}

function shellOf(job: IJob): string {
  const params = job.Tasks?.[0]?.Engine?.Params ?? {};
  const command: unknown = params.Command ?? params.Entrypoint;
  const first: unknown = Array.isArray(command) ? command[0] : '';
  return typeof first === 'string' && first ? (first.split('/').pop() ?? 'sh') : 'sh';
}

function namesIn(json: Uint8Array | undefined): { variables: string[]; outputs: string[] } {
  let plain: unknown = null;
  try {
    plain = json ? JSON.parse(decode(json)) : null;
  } catch {
    // Other releases may write something else there; the names are then unknown.
  }
  const { in: variables, out } = (typeof plain === 'object' && plain !== null ? plain : {}) as Record<
    string,
    unknown
  >;
  return {
    variables: typeof variables === 'object' && variables !== null ? Object.keys(variables) : [],
    outputs: Array.isArray(out) ? out.filter((name): name is string => typeof name === 'string') : []
  };
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes).replace(/\n$/, '');
}

/** The files of a packed input, by name; none where it is something else. */
async function unpack(source: ISpecConfig | undefined): Promise<Map<string, Uint8Array>> {
  const url: unknown = source?.Params?.URL;
  const packed = typeof url === 'string' ? /^data:application\/gzip;base64,(.*)$/s.exec(url)?.[1] : undefined;
  if (packed === undefined || packed.length > MOST_BYTES) {
    return new Map();
  }
  try {
    const bytes = Uint8Array.from(atob(packed), character => character.charCodeAt(0));
    return untar(await gunzip(bytes));
  } catch {
    return new Map();
  }
}

async function gunzip(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new DecompressionStream('gzip');
  const writer = stream.writable.getWriter();
  // What is wrong with the bytes is found out where they are read.
  void writer
    .write(bytes)
    .then(() => writer.close())
    .catch(() => undefined);
  const reader: ReadableStreamDefaultReader<Uint8Array> = (
    stream.readable as ReadableStream<Uint8Array>
  ).getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    size += value.length;
    parts.push(value);
    if (size > MOST_BYTES) {
      // A cell comes first; what makes it large are variables behind it.
      void reader.cancel();
      break;
    }
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The regular files of a tar archive, as far as it goes. */
export function untar(bytes: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const text = (from: number, length: number): string =>
    new TextDecoder().decode(bytes.subarray(from, from + length)).split('\0')[0] ?? '';
  for (let at = 0; at + TAR_BLOCK <= bytes.length && bytes[at] !== 0;) {
    const size = parseInt(text(at + 124, 12).trim(), 8);
    if (!Number.isFinite(size) || size < 0) {
      break;
    }
    const start = at + TAR_BLOCK;
    const kind = String.fromCharCode(bytes[at + 156] ?? 0);
    if ((kind === '0' || kind === '\0') && start + size <= bytes.length) {
      files.set(text(at, 100), bytes.subarray(start, start + size));
    }
    at = start + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
  }
  return files;
}
