//! What people and agents look at before they ask for a quote: an index page and a catalogue as JSON.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::response::{Html, Json};
use axum::routing::get;
use protocol::quote::GoodsKind;

use crate::shop::{CatalogueItem, FolderShop, Shop};

/// The pages of a folder shop: `/` and `/catalogue.json`. `payment_path` is where [`super::router`] is mounted.
pub fn router(shop: Arc<FolderShop>, name: String, payment_path: String) -> Router {
    let (for_index, for_json) = (shop.clone(), shop);
    let json_path = payment_path.clone();
    Router::new()
        .route("/", get(move || async move { Html(index(&for_index, &name, &payment_path)) }))
        .route("/catalogue.json", get(move || async move { Json(catalogue(&for_json, &json_path)) }))
}

fn catalogue(shop: &FolderShop, payment_path: &str) -> serde_json::Value {
    let items: Vec<&CatalogueItem> = shop.items().collect();
    serde_json::json!({ "payment_path": payment_path, "asset": shop.asset(), "items": items })
}

fn index(shop: &FolderShop, name: &str, payment_path: &str) -> String {
    let mut rows = String::new();
    for item in shop.items() {
        let kind = match item.goods {
            GoodsKind::Digital => "sent at once",
            GoodsKind::Hard => "shipped",
        };
        let (code, description) = (escape(&item.code), escape(&item.description));
        let price = format!("{} {}", item.price_text, shop.asset());
        let _ = writeln!(rows, "<tr><td><code>{code}</code><td>{description}<td class=price>{price}<td>{kind}");
    }
    let (name, payment_path) = (escape(name), escape(payment_path));
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content='width=device-width'>\n\
         <title>{name}</title>\n\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}}\
         table{{border-collapse:collapse;width:100%}}td,th{{text-align:left;padding:.4rem .6rem;border-bottom:1px solid #ccc}}\
         .price{{text-align:right;white-space:nowrap}}</style>\n\
         <h1>{name}</h1>\n<table>\n<tr><th>Code<th>Item<th class=price>Price<th>Delivery\n{rows}</table>\n\
         <p>Buy with <code>cts buy</code>; payments go to <code>{payment_path}</code> on this server. \
         The same list for programs: <a href='catalogue.json'>catalogue.json</a>.\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_show_the_catalogue_and_no_markup_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[[item]]\ncode='mug'\ndescription='<script>'\nprice='9.50'\n";
        std::fs::write(folder.path().join("catalogue.toml"), text).unwrap();
        let shop = FolderShop::open(folder.path()).unwrap();
        let page = index(&shop, "Elm & Co", "/quittance");
        assert!(page.contains("9.500000 USD6") && page.contains("&lt;script&gt;") && page.contains("Elm &amp; Co"));
        assert!(!page.contains("<script>"));
        let json = catalogue(&shop, "/quittance");
        assert_eq!(json["items"][0]["price"], 9_500_000);
        assert!(json["items"][0].get("file").is_none());
    }
}
