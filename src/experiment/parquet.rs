//! Rows as Apache Parquet, for the feature `parquet`: one column a column, optional all of them, in groups of a few thousand rows; the
//! header is the file's metadata `firedrill`.
//!
//! Counts are 64-bit unsigned integers, milliseconds and shares are doubles, everything else is text.

use super::results::{Columns, Header, Holds};
use super::row::{Cell, Row};
use super::store::Walk;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use std::io::Write;
use std::sync::Arc;

/// Rows in a group.
const GROUP: usize = 4096;

/// The values of a column in a group, and for each row whether it has one.
struct Column {
    name: String,
    values: Values,
    present: Vec<i16>,
}
enum Values {
    Text(Vec<ByteArray>),
    Whole(Vec<i64>),
    Number(Vec<f64>),
}

impl Column {
    fn new(name: &str) -> Column {
        let values = match Columns::holds(name) {
            Holds::Text => Values::Text(Vec::new()),
            Holds::Whole => Values::Whole(Vec::new()),
            Holds::Number => Values::Number(Vec::new()),
        };
        Column { name: name.to_owned(), values, present: Vec::new() }
    }
    fn schema(&self) -> Result<TypePtr, ParquetError> {
        let (physical, converted) = match self.values {
            Values::Text(_) => (Physical::BYTE_ARRAY, ConvertedType::UTF8),
            Values::Whole(_) => (Physical::INT64, ConvertedType::UINT_64),
            Values::Number(_) => (Physical::DOUBLE, ConvertedType::NONE),
        };
        let builder = Type::primitive_type_builder(&self.name, physical);
        Ok(Arc::new(builder.with_repetition(Repetition::OPTIONAL).with_converted_type(converted).build()?))
    }
    fn put(&mut self, cell: Option<Cell<'_>>) {
        self.present.push(i16::from(cell.is_some()));
        let Some(cell) = cell else { return };
        match (&mut self.values, cell) {
            (Values::Whole(list), Cell::Figure(v, _)) => list.push(v.cast_signed()),
            (Values::Number(list), Cell::Figure(v, unit)) => list.push(v as f64 / unit.scale() as f64),
            (Values::Text(list), cell) => list.push(ByteArray::from(cell.text().into_bytes())),
            // Text in a column of numbers does not happen: what a column holds follows from its name.
            (Values::Whole(_) | Values::Number(_), _) => {
                if let Some(present) = self.present.last_mut() {
                    *present = 0;
                }
            }
        }
    }
    fn clear(&mut self) {
        self.present.clear();
        match &mut self.values {
            Values::Text(list) => list.clear(),
            Values::Whole(list) => list.clear(),
            Values::Number(list) => list.clear(),
        }
    }
}

fn flush<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    columns: &mut [Column],
) -> Result<(), ParquetError> {
    let mut group = file.next_row_group()?;
    for c in columns.iter_mut() {
        let Some(mut out) = group.next_column()? else { break };
        let present = Some(c.present.as_slice());
        match &c.values {
            Values::Text(list) => out.typed::<ByteArrayType>().write_batch(list, present, None)?,
            Values::Whole(list) => out.typed::<Int64Type>().write_batch(list, present, None)?,
            Values::Number(list) => out.typed::<DoubleType>().write_batch(list, present, None)?,
        };
        out.close()?;
        c.clear();
    }
    group.close()?;
    Ok(())
}

/// Writes all rows.
pub(super) fn write<W: Write + Send>(
    out: &mut W,
    header: &Header,
    columns: &Columns,
    rows: &Walk<'_>,
) -> Result<(), String> {
    let fail = |e: ParquetError| format!("Parquet: {e}");
    let mut all: Vec<Column> = columns.names().into_iter().map(Column::new).collect();
    let fields = all.iter().map(Column::schema).collect::<Result<Vec<_>, _>>().map_err(fail)?;
    let schema = Type::group_type_builder("run").with_fields(fields).build().map_err(fail)?;
    let about = vec![KeyValue::new("firedrill".to_owned(), header.json())];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(about)).build();
    let mut file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties)).map_err(fail)?;
    let mut in_group = 0;
    rows(&mut |row: Row| {
        let mut next = 0;
        // A row's cells come in the order of the columns, those that it lacks left out.
        row.each(|name, cell| {
            while let Some(c) = all.get_mut(next) {
                next += 1;
                if c.name == name {
                    c.put(Some(cell));
                    break;
                }
                c.put(None);
            }
        });
        all.iter_mut().skip(next).for_each(|c| c.put(None));
        in_group += 1;
        if in_group == GROUP {
            in_group = 0;
            flush(&mut file, &mut all).map_err(fail)?;
        }
        Ok(())
    })?;
    if in_group > 0 {
        flush(&mut file, &mut all).map_err(fail)?;
    }
    file.close().map_err(fail)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::store::{Form, write};
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    #[test]
    fn a_file_is_read_back_by_the_reference_reader() {
        let row = super::super::row::tests::some();
        let other = Row { run: 8, marks: vec![("fenced".to_owned(), 5)], first_fault: None, ..row.clone() };
        let header = Header { runs: 10_000, ..super::super::results::tests::header() };
        let walk = |take: &mut dyn FnMut(Row) -> Result<(), String>| {
            (0..5_000u64).try_for_each(|n| {
                take(Row { run: n, ..if n % 2 == 0 { row.clone() } else { other.clone() } })
            })
        };
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, Form::Parquet, &header, &walk).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let meta = reader.metadata().file_metadata();
        assert_eq!(meta.num_rows(), 5_000);
        let about = meta.key_value_metadata().unwrap();
        assert!(about.iter().any(|k| k.key == "firedrill" && k.value == Some(header.json())));
        let names: Vec<&str> = meta.schema_descr().columns().iter().map(|c| c.name()).collect();
        let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|r| r.unwrap()).collect();
        assert_eq!(rows[1].get_ulong(at("run")).unwrap(), 1);
        assert_eq!(rows[1].get_ulong(at("seed")).unwrap(), u64::MAX);
        assert_eq!(rows[0].get_double(at("mark.promoted_ms")).unwrap(), 22_100.05);
        assert!(rows[0].get_double(at("mark.fenced_ms")).is_err(), "absent");
        assert_eq!(rows[4_999].get_double(at("mark.fenced_ms")).unwrap(), 0.005);
        assert_eq!(rows[0].get_string(at("knob.patroni.ttl")).unwrap(), "20s");
    }
}
