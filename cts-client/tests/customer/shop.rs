//! The real merchant on loopback, behind a recorder of raw bytes, with answers that can be tampered with.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use mts_plugin::fixtures::Realm;
use mts_plugin::{FolderShop, Merchant, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Alters an answer: route, bytes.
type Tamper = Box<dyn FnMut(&str, &mut Vec<u8>) + Send>;

/// Raw bytes of one connection, from the customer and to it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Recorded {
    pub(crate) sent: Vec<u8>,
    pub(crate) received: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct Shop {
    address: SocketAddr,
    tamper: Arc<Mutex<Option<Tamper>>>,
    recorded: Arc<Mutex<Vec<Arc<Mutex<Recorded>>>>>,
    /// Connections that are cut after this many bytes to the customer.
    pub(crate) cut_after: Arc<Mutex<Vec<usize>>>,
}

pub(crate) fn song() -> Vec<u8> {
    (0..300_000u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

impl Shop {
    pub(crate) async fn start(folder: &std::path::Path, realm: &Realm) -> Self {
        let goods = folder.join("goods");
        std::fs::create_dir(&goods).unwrap();
        std::fs::write(goods.join("song.flac"), song()).unwrap();
        let catalogue = "[[item]]\ncode='song'\ndescription='A song'\nprice='0.05'\nfile='song.flac'\n\
                         [[item]]\ncode='mug'\ndescription='A mug'\nprice='9.50'\n\
                         [[item]]\ncode='car'\ndescription='A car'\nprice='20000'\n";
        std::fs::write(goods.join("catalogue.toml"), catalogue).unwrap();
        let home = realm.merchant(&folder.join("merchant")).unwrap();
        let shop = FolderShop::open(&goods).unwrap();
        let merchant = Arc::new(Merchant::open(home, Arc::new(shop), Settings::default()).unwrap());

        let tamper: Arc<Mutex<Option<Tamper>>> = Arc::default();
        let tampering = Arc::clone(&tamper);
        let layer = from_fn(move |request: Request, next: Next| {
            let tamper = Arc::clone(&tampering);
            async move {
                let route = request.uri().path().trim_start_matches("/pay/").to_owned();
                let response = next.run(request).await;
                if tamper.lock().unwrap().is_none() {
                    return response;
                }
                let status = response.status();
                let mut bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec();
                if let Some(tamper) = tamper.lock().unwrap().as_mut() {
                    tamper(&route, &mut bytes);
                }
                let mut response = Response::new(Body::from(bytes));
                *response.status_mut() = status;
                response
            }
        });
        let router = axum::Router::new().nest("/pay", mts_plugin::http::router(merchant)).layer(layer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let behind = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });

        let recorder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = recorder.local_addr().unwrap();
        let shop = Self { address, tamper, recorded: Arc::default(), cut_after: Arc::default() };
        let recording = shop.clone();
        tokio::spawn(async move {
            while let Ok((customer, _)) = recorder.accept().await {
                let record = Arc::new(Mutex::new(Recorded::default()));
                recording.recorded.lock().unwrap().push(Arc::clone(&record));
                let cut = recording.cut_after.lock().unwrap().pop();
                tokio::spawn(relay(customer, behind, record, cut));
            }
        });
        shop
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/pay", self.address)
    }

    pub(crate) fn tamper(&self, tamper: impl FnMut(&str, &mut Vec<u8>) + Send + 'static) {
        *self.tamper.lock().unwrap() = Some(Box::new(tamper));
    }

    pub(crate) fn honest(&self) {
        *self.tamper.lock().unwrap() = None;
    }

    /// What was recorded since the last call, one entry per connection.
    pub(crate) fn take_recorded(&self) -> Vec<Recorded> {
        let records = std::mem::take(&mut *self.recorded.lock().unwrap());
        records.into_iter().map(|record| record.lock().unwrap().clone()).collect()
    }
}

async fn relay(mut customer: TcpStream, behind: SocketAddr, record: Arc<Mutex<Recorded>>, cut: Option<usize>) {
    let Ok(mut merchant) = TcpStream::connect(behind).await else { return };
    let (mut from_customer, mut from_merchant) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = customer.read(&mut from_customer) => match read {
                Ok(bytes) if bytes > 0 => {
                    record.lock().unwrap().sent.extend_from_slice(&from_customer[..bytes]);
                    if merchant.write_all(&from_customer[..bytes]).await.is_err() { return }
                }
                _ => return,
            },
            read = merchant.read(&mut from_merchant) => match read {
                Ok(bytes) if bytes > 0 => {
                    let sent = {
                        let mut record = record.lock().unwrap();
                        record.received.extend_from_slice(&from_merchant[..bytes]);
                        record.received.len()
                    };
                    if customer.write_all(&from_merchant[..bytes]).await.is_err() || cut.is_some_and(|cut| sent > cut) { return }
                }
                _ => return,
            },
        }
    }
}
