// Builds the stand-alone page from the sources of the labextension: `node page.build.mjs` after `tsc`.
import { readFile, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rspack } from '@rspack/core';

const here = path.dirname(fileURLToPath(import.meta.url));
const output = path.join(here, '..', 'bacalhau_jupyter', 'webui');

const compiler = rspack({
  mode: 'production',
  context: here,
  entry: { page: './lib/page/index.js' },
  output: { path: output, filename: 'page.js', chunkFilename: '[name].[contenthash:8].js', publicPath: '/' },
  // Of JupyterLab's components only the icons are wanted.
  resolve: { alias: { '@jupyterlab/ui-components$': path.join(here, 'lib', 'page', 'icons.js') } },
  module: { rules: [{ test: /\.svg$/, type: 'asset/source' }] },
  performance: { hints: false },
  devtool: false
});

await rm(output, { recursive: true, force: true });
await mkdir(output, { recursive: true });
const stats = await new Promise((resolve, reject) => {
  compiler.run((error, result) => (error ? reject(error) : resolve(result)));
});
await new Promise(resolve => compiler.close(resolve));
if (stats.hasErrors()) {
  process.stderr.write(stats.toString('errors-only') + '\n');
  process.exit(1);
}

// The order of the labextension's own style, then what JupyterLab brings there.
const names = [
  ...(await readFile(path.join(here, 'style', 'index.css'), 'utf8')).matchAll(/url\('(.+?)'\)/g)
];
const styles = [...names.map(([, name]) => path.join('style', name)), path.join('src', 'page', 'page.css')];
const texts = await Promise.all(styles.map(name => readFile(path.join(here, name), 'utf8')));
await writeFile(path.join(output, 'page.css'), texts.join('\n'));
const index = await readFile(path.join(here, 'src', 'page', 'index.html'), 'utf8');
await writeFile(path.join(output, 'index.html'), index);
