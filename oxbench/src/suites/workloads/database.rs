//! Database: SQLite with generated rows, with a rollback journal and with a write-ahead log.

use std::path::Path;

use rusqlite::{Connection, params};

use crate::data::Dice;
use crate::error::{CaseFailure, CaseResult};
use crate::model::Unit;
use crate::suites::ctx::{Ctx, same};

pub(crate) fn database(ctx: &mut Ctx<'_>) -> CaseResult {
    let transactions = ctx.count(50);
    for (row, mode) in [("sqlite_delete", "DELETE"), ("sqlite_wal", "WAL")] {
        let path = ctx.dir().join(format!("{row}.db"));
        ctx.begin(row, Unit::Seconds);
        create(&path, mode).map_err(failure)?;
        let seed = ctx.dice(70);
        let sum = ctx.seconds(row, |_| {
            insert(&path, transactions, seed.clone()).map_err(failure)
        })?;

        let query = format!("{row}_query_cold");
        ctx.begin(&query, Unit::Seconds);
        ctx.cold()?;
        let found = ctx.seconds(&query, |_| total(&path).map_err(failure))?;
        same("sum over all rows", &found, &sum)?;
        same(
            "integrity check",
            &integrity(&path).map_err(failure)?,
            &"ok".to_owned(),
        )?;
    }
    Ok(())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn failure(error: rusqlite::Error) -> CaseFailure {
    CaseFailure::Tool {
        tool: "sqlite".into(),
        message: error.to_string(),
    }
}

fn create(path: &Path, mode: &str) -> rusqlite::Result<()> {
    let db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", mode)?;
    db.execute_batch("CREATE TABLE item (id INTEGER PRIMARY KEY, key TEXT, value INTEGER, body BLOB); CREATE INDEX by_key ON item (key);")
}

/// Ten rows a transaction, each transaction durable before the next.
fn insert(path: &Path, transactions: usize, mut dice: Dice) -> rusqlite::Result<i64> {
    let mut db = Connection::open(path)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    let mut sum = 0;
    for _ in 0..transactions {
        let transaction = db.transaction()?;
        for _ in 0..10 {
            let value = dice.below(1_000_000) as i64;
            let body = dice.next().to_le_bytes().repeat(25);
            transaction
                .prepare_cached("INSERT INTO item (key, value, body) VALUES (?1, ?2, ?3)")?
                .execute(params![format!("key-{value:06}"), value, body])?;
            sum += value;
        }
        transaction.commit()?;
    }
    Ok(sum)
}

fn total(path: &Path) -> rusqlite::Result<i64> {
    let db = Connection::open(path)?;
    db.query_row(
        "SELECT sum(value) FROM item WHERE length(body) = 200",
        [],
        |row| row.get(0),
    )
}

fn integrity(path: &Path) -> rusqlite::Result<String> {
    Connection::open(path)?.query_row("PRAGMA integrity_check", [], |row| row.get(0))
}
