import { IDiskUsage, IKeptImage, INodeInfo } from '../api/types';
import { bytes } from '../format/units';
import { IBacalhau } from '../tokens';
import { ITranslate } from './connections';

const DAY_S = 86400;

/** Ages in seconds that people may choose from; 0 is everything. */
export const AGES: readonly number[] = [0, DAY_S, 7 * DAY_S, 30 * DAY_S];

export function ageLabel(age: number, trans: ITranslate): string {
  switch (age) {
    case 0:
      return trans.__('of any age');
    case DAY_S:
      return trans.__('older than a day');
    case 7 * DAY_S:
      return trans.__('older than a week');
    default:
      return trans.__('older than %1 days', Math.round(age / DAY_S));
  }
}

/** What is kept, in words: `1.2 GB, 14 results`. */
export function usageText(usage: IDiskUsage | undefined, many: (count: number) => string): string {
  return `${bytes(usage?.Bytes ?? 0)}, ${many(usage?.Count ?? 0)}`;
}

export function resultsText(count: number, trans: ITranslate): string {
  return count === 1 ? trans.__('1 result') : trans.__('%1 results', count);
}

export function inputsText(count: number, trans: ITranslate): string {
  return count === 1 ? trans.__('1 input') : trans.__('%1 inputs', count);
}

export function uploadsText(count: number, trans: ITranslate): string {
  return count === 1 ? trans.__('1 upload') : trans.__('%1 uploads', count);
}

export function packagesText(count: number, trans: ITranslate): string {
  return count === 1 ? trans.__('1 set of packages') : trans.__('%1 sets of packages', count);
}

export function imagesText(count: number, trans: ITranslate): string {
  return count === 1 ? trans.__('1 image') : trans.__('%1 images', count);
}

/** Remove results of finished jobs; asks first, and returns what is gone in words, empty where nothing was done. */
export async function cleanResults(app: IBacalhau, age: number): Promise<string> {
  const { trans } = app;
  const kept = usageText(disk(app.sync.node.get()).results, count => resultsText(count, trans));
  return attempt(
    app,
    trans.__('Clean up results?'),
    trans.__(
      'The connected node removes results of finished jobs, %1, from its disk (it keeps %2 now). Links to them stop working; jobs, logs and results published elsewhere stay.',
      ageLabel(age, trans),
      kept
    ),
    () => app.api.disk.clearResults(age),
    count => resultsText(count, trans)
  );
}

/** Remove the inputs that are kept to be shared; asks first. */
export async function cleanInputCache(app: IBacalhau): Promise<string> {
  const { trans } = app;
  const kept = usageText(disk(app.sync.node.get()).inputs, count => inputsText(count, trans));
  return attempt(
    app,
    trans.__('Empty the input cache?'),
    trans.__(
      'The connected node removes the inputs that it keeps for sharing (%1). The next job that needs one fetches it again.',
      kept
    ),
    () => app.api.disk.clearInputCache(),
    count => inputsText(count, trans)
  );
}

/** Remove uploaded inputs that no job refers to; asks first. */
export async function cleanUploads(app: IBacalhau): Promise<string> {
  const { trans } = app;
  const kept = usageText(disk(app.sync.node.get()).uploads, count => uploadsText(count, trans));
  return attempt(
    app,
    trans.__('Remove uploads?'),
    trans.__(
      'Inputs that were sent ahead of their jobs go from the disk of the connected node (%1); what jobs still need stays. An old job that is run again may lack its inputs.',
      kept
    ),
    () => app.api.disk.clearUploads(),
    count => uploadsText(count, trans)
  );
}

/** Remove Python packages that no job uses; asks first. */
export async function cleanPackages(app: IBacalhau): Promise<string> {
  const { trans } = app;
  const kept = usageText(disk(app.sync.node.get()).packages, count => packagesText(count, trans));
  return attempt(
    app,
    trans.__('Remove packages?'),
    trans.__(
      'Python packages that were fetched for jobs go from the disk of the connected node (%1); what jobs still need stays. The next job that asks for them fetches them again.',
      kept
    ),
    () => app.api.disk.clearPackages(),
    count => packagesText(count, trans)
  );
}

/** Remove images that no job uses; asks first. */
export async function cleanImages(app: IBacalhau): Promise<string> {
  const { trans } = app;
  const kept = usageText(disk(app.sync.node.get()).images, count => imagesText(count, trans));
  return attempt(
    app,
    trans.__('Remove images?'),
    trans.__(
      'Images that no running job uses go from the disk of the connected node (%1). The next job that names one fetches it again; an image that was loaded from a file has to be loaded again.',
      kept
    ),
    () => app.api.disk.clearImages(),
    count => imagesText(count, trans)
  );
}

/** What people call an image: its tags, else the beginning of its ID. */
export function imageName(image: IKeptImage): string {
  const tags = (image.Names ?? []).filter(name => !name.includes('@'));
  return tags.join(', ') || image.ImageID.replace('sha256:', '').slice(0, 12);
}

/** Remove one image; asks first. */
export async function removeImage(app: IBacalhau, image: IKeptImage): Promise<string> {
  const { trans } = app;
  return attempt(
    app,
    trans.__('Remove the image?'),
    trans.__(
      '%1 (%2) goes from the disk of the connected node. The next job that names it fetches it again; if it was loaded from a file, it has to be loaded again.',
      imageName(image),
      bytes(image.Size ?? 0)
    ),
    () => app.api.disk.removeImage(image.ImageID),
    count => imagesText(count, trans)
  );
}

/** What the connected node keeps on its disk. */
export function disk(node: INodeInfo | null): {
  results?: IDiskUsage;
  inputs?: IDiskUsage;
  uploads?: IDiskUsage;
  packages?: IDiskUsage;
  images?: IDiskUsage;
} {
  const { LocalResults, InputCache } = node?.ComputeNodeInfo ?? {};
  return {
    results: LocalResults,
    inputs: InputCache,
    uploads: node?.Uploads,
    packages: node?.Packages,
    images: node?.Images
  };
}

async function attempt(
  app: IBacalhau,
  title: string,
  text: string,
  work: () => Promise<IDiskUsage>,
  many: (count: number) => string
): Promise<string> {
  const { trans, host, sync } = app;
  if (!(await host.confirm(title, text, trans.__('Remove')))) {
    return '';
  }
  try {
    const gone = await work();
    await sync.readNode();
    return trans.__('Removed: %1', usageText(gone, many));
  } catch (reason) {
    host.showError(trans.__('The disk could not be cleaned up'), reason);
    return '';
  }
}
