//! PostgreSQL as the tests start it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::process::Command;

use xtask::{
    postgres::{self, Database, Postgres, PostgresOptions},
    process,
};

fn psql(url: &str, sql: &str) -> xtask::Result<String> {
    let programs = postgres::programs().unwrap();
    let mut psql = Command::new(programs.join("psql"));
    let answer = process::run(psql.args(["-X", "-A", "-t", "-c", sql, url]), "install psql")?;
    Ok(answer.trim().to_owned())
}

#[tokio::test]
async fn two_databases_of_one_server_know_nothing_of_each_other() {
    let postgres = Postgres::start(PostgresOptions::default()).await.unwrap();
    let first = postgres.database("store").await.unwrap();
    let second = postgres.database("store").await.unwrap();
    psql(&first, "CREATE TABLE payments (id BIGINT)").unwrap();
    assert!(psql(&second, "SELECT id FROM payments").is_err());
    psql(&second, "CREATE TABLE payments (id BIGINT)").unwrap();
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_stop_and_after_a_crash() {
    let mut postgres = Postgres::start(PostgresOptions { durable: true }).await.unwrap();
    let database = postgres.database("store").await.unwrap();
    psql(&database, "CREATE TABLE payments AS SELECT 1 AS id").unwrap();

    postgres.stop().await.unwrap();
    assert!(psql(&database, "SELECT id FROM payments").is_err());
    postgres.restart().await.unwrap();
    assert_eq!(psql(&database, "SELECT id FROM payments").unwrap(), "1");

    psql(&database, "INSERT INTO payments VALUES (2)").unwrap();
    postgres.crash().await.unwrap();
    assert!(psql(&database, "SELECT id FROM payments").is_err());
    postgres.restart().await.unwrap();
    assert_eq!(psql(&database, "SELECT sum(id) FROM payments").unwrap(), "3");
}

#[tokio::test]
async fn a_test_gets_an_empty_database_on_whatever_server_there_is() {
    let database = Database::create("store").await.unwrap();
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(psql(database.url(), tables).unwrap(), "0");
}
