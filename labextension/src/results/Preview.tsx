import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IFileRef } from '../api/files';
import { EmptyNote, ErrorNote, IconButton } from '../components/basics';
import { useAsync, useBacalhau } from '../components/context';
import { bytes as size } from '../format/units';
import { IParquetHead, parquetHead, TooMuch } from './parquet';
import { readable } from '../format/text';
import { imageType, kindOf } from './paths';
import { base64Of, IHead, NotShown, parseRows, readHead, textOf } from './read';

const ROWS = 200;
const TEXT_SHOWN = 200_000;

interface IProps {
  file: IFileRef;
  /** As the listing says it. */
  size: number;
  onClose?: () => void;
}

/** The beginning of a file of a result: where there is no viewer of JupyterLab's, and for Parquet. */
export function Preview(props: IProps): JSX.Element {
  const { file, onClose } = props;
  const { api, trans } = useBacalhau();
  const name = readable(file.path);
  return (
    <section className="jp-Bacalhau-preview" aria-label={name}>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name">{name}</span>
        <a href={api.files.url(file)} download={file.path.split('/').pop()}>
          {trans.__('Download')}
        </a>
        {onClose && <IconButton icon={closeIcon} label={trans.__('Close')} onClick={onClose} />}
      </div>
      {kindOf(file.path) === 'parquet' ? <Parquet {...props} /> : <Plain {...props} />}
    </section>
  );
}

function Plain(props: IProps): JSX.Element {
  const { api, trans } = useBacalhau();
  const { file } = props;
  const { value, error } = useAsync(
    signal => readHead(api.files, file, words(trans), signal),
    `${file.execution} ${file.path}`
  );
  if (value === undefined) {
    return <Waiting error={error} />;
  }
  return (
    <>
      {value.cut && <CutNote head={value} />}
      <Content head={value} path={file.path} />
    </>
  );
}

function Waiting(props: { error: unknown }): JSX.Element {
  const { trans } = useBacalhau();
  if (props.error instanceof NotShown) {
    return <EmptyNote>{props.error.message}</EmptyNote>;
  }
  return props.error ? <ErrorNote error={props.error} /> : <EmptyNote>{trans.__('Loading…')}</EmptyNote>;
}

function Content(props: { head: IHead; path: string }): JSX.Element {
  const { head, path } = props;
  if (head.kind === 'image') {
    return <img src={`data:${imageType(path)};base64,${base64Of(head.bytes)}`} alt={readable(path)} />;
  }
  const text = textOf(head.bytes);
  if (head.kind === 'csv' || head.kind === 'tsv') {
    const [columns = [], ...rows] = parseRows(text, head.kind === 'csv' ? ',' : '\t', ROWS + 1);
    return <Table columns={columns} rows={rows} />;
  }
  return <pre tabIndex={0}>{text.length > TEXT_SHOWN ? `${text.slice(0, TEXT_SHOWN)}\n…` : text}</pre>;
}

/** Says that this is not all. */
export function CutNote(props: { head: IHead }): JSX.Element {
  const { trans } = useBacalhau();
  return <div className="jp-Bacalhau-hint">{cutText(props.head, trans)}</div>;
}

/** The line that says how much of a file is shown. */
export function cutText(head: { bytes: { length: number }; total: number }, trans: ITranslate): string {
  return trans.__('Showing the first %1 of %2.', size(head.bytes.length), size(head.total));
}

function Parquet(props: IProps): JSX.Element {
  const { api, trans } = useBacalhau();
  const { file } = props;
  const { value, error } = useAsync(
    signal => parquetHead(api.files, file, props.size, signal),
    `${file.execution} ${file.path}`
  );
  if (value === undefined) {
    const reason =
      error instanceof TooMuch
        ? new NotShown(
            trans.__('The first rows lie in a block that is too large to show; download the file.')
          )
        : error && !(error instanceof NotShown) && !isApiFailure(error)
          ? new NotShown(trans.__('This Parquet file can’t be shown here; download it.'))
          : error;
    return <Waiting error={reason} />;
  }
  return (
    <>
      <div className="jp-Bacalhau-hint">{parquetText(value, props.size, trans)}</div>
      <Table columns={value.columns} rows={value.rows} types={value.types} />
    </>
  );
}

function isApiFailure(error: unknown): boolean {
  return error instanceof Error && error.name === 'ApiError';
}

function parquetText(head: IParquetHead, total: number, trans: ITranslate): string {
  const columns =
    head.columns.length < head.columnCount
      ? trans.__('%1 of %2 columns', head.columns.length, head.columnCount)
      : trans.__('%1 columns', head.columnCount);
  return trans.__(
    'Showing the first %1 of %2 rows, %3; %4.',
    head.rows.length,
    head.rowCount,
    columns,
    size(total)
  );
}

function Table(props: {
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  types?: readonly string[];
}): JSX.Element {
  return (
    <div className="jp-Bacalhau-table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {props.columns.map((column, index) => (
              <th key={index} scope="col" title={props.types?.[index]}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {props.rows.map((row, index) => (
            <tr key={index}>
              {row.map((cell, at) => (
                <td key={at}>{cell}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** Why a file is not shown. */
export function words(trans: ITranslate): { tooBig: string; binary: string } {
  return {
    tooBig: trans.__('This image is too large to show; download it.'),
    binary: trans.__('This file is not text, and there is no viewer for it; download it.')
  };
}
